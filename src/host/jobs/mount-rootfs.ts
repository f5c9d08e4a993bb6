import { chownSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../../errors/errors.ts'
import { adoptAttributes } from '../adopt-attributes.ts'
import { hastenCgroups } from '../cgroup-haste.ts'
import { type IdMaps, mappedRoot, withMappedDirectories } from '../mapped-directories.ts'
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  type MountParameter,
  MS_NODEV,
  MS_NOSUID,
  MS_RDONLY,
  mount,
  mountWithParameters,
} from '../sys/libc.ts'

/** An overlay to mount: all paths absolute, lower layers top first. */
export interface MountRootfsInput {
  readonly lowers: readonly string[]
  /** Absent for a read-only view of the lower layers, of which there must be two: overlay wants something to merge. */
  readonly writable?: { readonly upper: string; readonly work: string }
  /** In a directory that is for the container's root and nobody else. */
  readonly target: string
  /** The user namespace of the container's own: all files belong to its ids. */
  readonly ids?: IdMaps | undefined
  /** Inside a user namespace overlay keeps its attributes under `user.`. */
  readonly userXattrs: boolean
  /** Skips every sync of the upper layer: for containers that a crash may lose anyway. */
  readonly volatile: boolean
}

/**
 * Mounts an overlay, making `upper`, `work` and `target` as needed. Layers go in one by one through the
 * new mount API (kernel 6.5); older kernels get the classic call, whose options must fit one page.
 */
export async function mountRootfs(input: MountRootfsInput): Promise<void> {
  const { lowers, writable, target, ids } = input
  // A container is about to be made.
  if (writable) hastenCgroups()
  const own = dirname(target)
  mkdirSync(own, { recursive: true, mode: 0o700 })
  mkdirSync(target, { recursive: true, mode: 0o755 })
  if (ids === undefined) return mountOver(lowers, input)
  const { uid, gid } = mappedRoot(ids)
  chownSync(own, uid, gid)
  await withMappedDirectories({ directories: lowers, directory: join(own, 'mapped'), ids }, (mapped) => mountOver(mapped, input))
}

function mountOver(lowers: readonly string[], input: MountRootfsInput): void {
  try {
    if (input.writable) makeWritable(input.writable, lowers[0])
  } catch (error) {
    // A layer that is not there shows here first.
    throw errorCode(error) === 'ENOENT' ? mountFailed(input.target, error) : error
  }
  mountOverlay({ ...input, lowers })
}

/** Overlay shows the root of its upper directory, which is to be that of the layers until the container changes it. */
function makeWritable({ upper, work }: NonNullable<MountRootfsInput['writable']>, topLayer: string | undefined): void {
  // Made last: where it is there, the root is the container's own.
  if (existsSync(work)) return
  mkdirSync(upper, { recursive: true, mode: 0o755 })
  if (topLayer !== undefined) adoptAttributes(upper, topLayer)
  mkdirSync(work, { mode: 0o755 })
}

function mountOverlay({ lowers, writable, target, userXattrs, volatile }: MountRootfsInput): void {
  const flags: MountParameter[] = [
    ...(userXattrs ? [['userxattr'] as const] : []),
    ...(volatile && writable ? [['volatile'] as const] : []),
  ]
  const upper: MountParameter[] = writable
    ? [
        ['upperdir', writable.upper],
        ['workdir', writable.work],
      ]
    : []
  try {
    mountWithParameters({
      type: 'overlay',
      target,
      parameters: [['source', 'podlib'], ...lowers.map((lower) => ['lowerdir+', lower] as const), ...upper, ...flags],
      attributes: MOUNT_ATTR_NODEV | (writable ? 0n : MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID),
    })
  } catch (error) {
    if (!['EINVAL', 'ENOSYS'].includes(errorCode(error) ?? '')) throw mountFailed(target, error)
    mountClassic({ lowers, target, options: [...upper, ...flags], readonly: writable === undefined })
  }
}

interface ClassicMount {
  readonly lowers: readonly string[]
  readonly target: string
  readonly options: readonly MountParameter[]
  readonly readonly: boolean
}

function mountClassic({ lowers, target, options, readonly }: ClassicMount): void {
  const lowerdir = lowers.map((path) => path.replace(/[\\:,]/g, '\\$&')).join(':')
  const data = [`lowerdir=${lowerdir}`, ...options.map(([key, value]) => (value === undefined ? key : `${key}=${value}`))].join(',')
  try {
    mount({ source: 'podlib', target, type: 'overlay', flags: MS_NODEV | (readonly ? MS_RDONLY | MS_NOSUID : 0n), data })
  } catch (error) {
    throw mountFailed(target, error)
  }
}

function mountFailed(target: string, error: unknown): PodlibError {
  return new PodlibError('ERR_MOUNT_FAILED', `cannot mount the overlay at ${target}: ${errorMessage(error)}`, {
    details: { target, systemCode: errorCode(error) },
    cause: error,
  })
}
