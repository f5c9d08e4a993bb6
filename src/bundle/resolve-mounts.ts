import type { ImageRunConfig } from '../spec/image.ts'
import { parseSize } from '../util/quantity.ts'
import { checkContainerPath, checkName, checkText, isWithin, refused, shown, type ValueSource } from './check.ts'
import type { MountConfig } from './container-config.ts'
import type { CreateContainerOptions, MountOptions } from './container-options.ts'

/** Files that lxcfs-like tools may lay over /proc; anything else there would blind the OCI runtime (CVE-2019-16884). */
const PROC_FILES = new Set('cpuinfo diskstats loadavg meminfo slabinfo stat swaps uptime'.split(' ').map((name) => `/proc/${name}`))
const MAX_IMAGE_VOLUMES = 100

/** The caller's mounts, then the image's volumes that no mount of the caller's covers. */
export function resolveMounts(
  options: CreateContainerOptions,
  image: ImageRunConfig,
  imageVolumes: 'anonymous' | 'tmpfs' | 'ignore',
): MountConfig[] {
  const mounts = (options.mounts ?? []).map(resolveMount)
  const targets = new Set<string>()
  for (const { target } of mounts) {
    if (targets.has(target)) throw refused('options', `two mounts have the target ${shown(target)}`, { target })
    targets.add(target)
  }
  const declared = Object.keys(image.Volumes ?? {})
  if (declared.length > MAX_IMAGE_VOLUMES) throw refused('image', `more than ${MAX_IMAGE_VOLUMES} volumes`)
  for (const volume of declared) {
    const target = checkTarget(volume, 'image')
    if (imageVolumes === 'ignore' || targets.has(target)) continue
    targets.add(target)
    mounts.push(imageVolumes === 'tmpfs' ? imageTmpfs(target) : imageVolume(target))
  }
  return mounts
}

function resolveMount(mount: MountOptions): MountConfig {
  const common = { target: checkTarget(mount.target, 'options'), readonly: mount.readOnly ?? false, options: [...(mount.options ?? [])] }
  switch (mount.type) {
    case 'bind':
      return {
        ...common,
        type: 'bind',
        source: checkHostPath(mount.source),
        recursive: mount.recursive ?? true,
        propagation: mount.propagation ?? 'rprivate',
      }
    case 'tmpfs':
      return {
        ...common,
        type: 'tmpfs',
        size: mount.size === undefined ? null : parseSize(mount.size, `size of the tmpfs ${mount.target}`),
        mode: mount.mode === undefined ? 0o1777 : Number.parseInt(mount.mode, 8),
        copyUp: mount.copyUp ?? true,
      }
    case 'volume':
      return {
        ...common,
        type: 'volume',
        name: mount.name === undefined ? null : checkName(mount.name, 'volume name'),
        copyUp: mount.copyUp ?? true,
        fromImage: false,
      }
  }
}

function imageTmpfs(target: string): MountConfig {
  return { type: 'tmpfs', target, readonly: false, options: [], size: null, mode: 0o1777, copyUp: true }
}

function imageVolume(target: string): MountConfig {
  return { type: 'volume', name: null, target, readonly: false, options: [], copyUp: true, fromImage: true }
}

function checkTarget(path: string, source: ValueSource): string {
  const what = source === 'image' ? 'volume' : 'mount target'
  const target = checkContainerPath(path, what, source)
  if (target === '/') throw refused(source, `${what} '/' would hide the root file system`)
  if (isWithin(target, '/proc') && !(source === 'options' && PROC_FILES.has(target))) {
    throw refused(source, `${what} ${shown(target)} lies in /proc, which the OCI runtime must be able to trust`)
  }
  if (source === 'image' && (isWithin(target, '/sys') || isWithin(target, '/dev'))) {
    throw refused(source, `volume ${shown(target)} lies in /sys or /dev`)
  }
  return target
}

function checkHostPath(path: string): string {
  checkText(path, 'mount source')
  if (!path.startsWith('/')) throw refused('options', `mount source ${shown(path)} is not an absolute path`)
  return path
}
