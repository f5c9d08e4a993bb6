import { PodlibError } from '../errors/errors.ts'
import type { SpecMount, SpecNamespace } from '../spec/runtime.ts'
import { isWithin } from './check.ts'
import type { ContainerConfig, MountConfig } from './container-config.ts'
import type { ContainerFiles, HostFacts } from './host-facts.ts'
import { isNew } from './namespaces.ts'

/** /dev is always a tmpfs of the container's own, so nothing is left in its root file system. */
export const INIT_PATH = '/dev/podlib-init'

interface Input {
  readonly config: ContainerConfig
  readonly facts: HostFacts
  readonly namespaces: readonly SpecNamespace[]
  readonly files: ContainerFiles
}

/** Whether /sys has to be the host's, bind mounted, because no sysfs can be mounted for the container's network. */
export function sysfsIsHosts({ namespaces, facts }: Pick<Input, 'namespaces' | 'facts'>): boolean {
  return !canMountFor('network', namespaces, facts)
}

/** All mounts, parents before children. A mount of the caller's takes the place of a default one at the same target. */
export function specMounts(input: Input): SpecMount[] {
  const own = input.config.mounts.map((mount) => userMount(mount, input.files))
  const targets = new Set(own.map(({ destination }) => destination))
  const defaults = [...systemMounts(input), ...readWriteMounts(input.config), ...fileMounts(input)]
  const mounts = [...defaults.filter(({ destination }) => !targets.has(destination)), ...own]
  return mounts.sort((a, b) => depth(a.destination) - depth(b.destination))
}

function systemMounts({ config, facts, namespaces }: Input): SpecMount[] {
  const safe = ['nosuid', 'noexec', 'nodev']
  const access = config.security.privileged ? 'rw' : 'ro'
  const ptsGroup = ttyGroupExists(config, facts) ? ['gid=5'] : []
  return [
    kernelMount('/proc', { type: 'proc', options: safe, bind: !canMountFor('pid', namespaces, facts) }),
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...ptsGroup],
    },
    ...messageQueues({ type: 'mqueue', options: safe, bind: !canMountFor('ipc', namespaces, facts) }, facts),
    kernelMount('/sys', { type: 'sysfs', options: [...safe, access], bind: sysfsIsHosts({ namespaces, facts }) }),
    cgroupMount([...safe, 'relatime', access], facts),
  ]
}

/** A host that has the queues of its own IPC namespace mounted nowhere cannot lend them. */
function messageQueues(mount: KernelMount, facts: HostFacts): SpecMount[] {
  return mount.bind && !facts.hasMessageQueues ? [] : [kernelMount('/dev/mqueue', mount)]
}

/**
 * With cgroup v1 and no cgroup of its own a container would see the host's hierarchies, with the names of all other
 * containers: it gets an empty directory. With v2 its cgroup namespace hides them.
 */
function cgroupMount(options: string[], facts: HostFacts): SpecMount {
  const destination = '/sys/fs/cgroup'
  const hidden = facts.cgroupVersion === 1 && facts.cgroupControllers.length === 0
  if (hidden) return { destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec', 'nodev', 'mode=755', 'size=0k', 'ro'] }
  return { destination, type: 'cgroup', source: 'cgroup', options }
}

interface KernelMount {
  readonly type: string
  readonly options: string[]
  /** Of the host's own, instead of a new one. */
  readonly bind: boolean
}

function kernelMount(destination: string, mount: KernelMount): SpecMount {
  if (mount.bind) return { destination, type: 'bind', source: destination, options: ['rbind', 'rprivate', ...mount.options] }
  return { destination, type: mount.type, source: mount.type, options: mount.options }
}

/** The kernel lets only the owner of a namespace mount its file system: a new user namespace owns only what is new with it. */
function canMountFor(type: 'network' | 'ipc' | 'pid', namespaces: readonly SpecNamespace[], facts: HostFacts): boolean {
  if (isNew(namespaces, type)) return true
  if (isNew(namespaces, 'user')) return false
  return facts.ownsHostNamespaces || namespaces.some((namespace) => namespace.type === type)
}

function ttyGroupExists(config: ContainerConfig, facts: HostFacts): boolean {
  const ranges = config.namespaces.idMappings?.gids
  return ranges ? ranges.some(({ containerId, size }) => containerId <= 5 && containerId + size > 5) : facts.ttyGidMapped
}

function readWriteMounts({ rootfs }: ContainerConfig): SpecMount[] {
  if (!rootfs.readonly || !rootfs.readWriteTmpfs) return []
  const options = ['rw', 'rprivate', 'nosuid', 'nodev', 'tmpcopyup']
  return ['/run', '/tmp', '/var/tmp'].map((destination) => ({ destination, type: 'tmpfs', source: 'tmpfs', options: [...options] }))
}

/** Files that podlib prepares. None goes below a directory of the caller's: the OCI runtime would create it in there. */
function fileMounts({ config, files }: Input): SpecMount[] {
  const access = config.rootfs.readonly ? 'ro' : 'rw'
  const given: [string, string | null, string[]][] = [
    ['/etc/hosts', files.hosts, ['bind', 'rprivate', access]],
    ['/etc/resolv.conf', files.resolvConf, ['bind', 'rprivate', access]],
    ['/etc/hostname', files.hostname, ['bind', 'rprivate', access]],
    ['/run/.containerenv', files.containerenv, ['bind', 'rprivate', access]],
    [INIT_PATH, config.process.init ? initProgram(files) : null, ['bind', 'rprivate', 'ro']],
  ]
  const covered = config.mounts.filter(({ type }) => type !== 'tmpfs').map(({ target }) => target)
  const mounts = given.flatMap(([destination, source, options]) =>
    source === null || covered.some((target) => isWithin(destination, target)) ? [] : [{ destination, type: 'bind', source, options }],
  )
  return [...mounts, ...shmMount(config, files)]
}

function initProgram({ init }: ContainerFiles): string {
  if (init !== null) return init
  throw new PodlibError(
    'ERR_PROGRAM_MISSING',
    'the container wants an init process, and no init program was found on the host (catatonit, tini)',
  )
}

function shmMount({ namespaces, shmSize }: ContainerConfig, files: ContainerFiles): SpecMount[] {
  const destination = '/dev/shm'
  const safe = ['nosuid', 'noexec', 'nodev']
  if (namespaces.ipc.mode === 'none') return []
  if (namespaces.ipc.mode === 'host') return [{ destination, type: 'bind', source: '/dev/shm', options: ['rbind', 'rprivate', ...safe] }]
  if (files.shm !== null) return [{ destination, type: 'bind', source: files.shm, options: ['bind', 'rprivate', ...safe] }]
  const size = shmSize === 0 ? [] : [`size=${shmSize}`]
  return [{ destination, type: 'tmpfs', source: 'shm', options: [...safe, 'mode=1777', ...size] }]
}

function userMount(mount: MountConfig, files: ContainerFiles): SpecMount {
  const destination = mount.target
  const access = mount.readonly ? 'ro' : 'rw'
  switch (mount.type) {
    case 'bind':
      return {
        destination,
        type: 'bind',
        source: mount.source,
        options: [mount.recursive ? 'rbind' : 'bind', mount.propagation, access, ...mount.options],
      }
    case 'tmpfs': {
      const size = mount.size === null ? [] : [`size=${mount.size}`]
      const flags = ['nosuid', 'nodev', 'rprivate', access, `mode=${mount.mode.toString(8)}`, ...size, ...mount.options]
      return { destination, type: 'tmpfs', source: 'tmpfs', options: mount.copyUp ? [...flags, 'tmpcopyup'] : flags }
    }
    case 'volume':
      return {
        destination,
        type: 'bind',
        source: volumePath(mount.target, files),
        options: ['rbind', 'rprivate', access, ...mount.options],
      }
  }
}

function volumePath(target: string, files: ContainerFiles): string {
  const path = Object.hasOwn(files.volumes, target) ? files.volumes[target] : undefined
  if (path === undefined) throw new PodlibError('ERR_INTERNAL', `no directory given for the volume at ${target}`)
  return path
}

function depth(path: string): number {
  return path.split('/').length
}
