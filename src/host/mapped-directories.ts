import { mkdirSync, openSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { IdRange } from './id-map.ts'
import { findProgram } from './programs.ts'
import { startPause } from './start-pause.ts'
import { bindIdMapped } from './sys/id-mapped-mount.ts'
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount2 } from './sys/libc.ts'

/** How the ids of a container's own user namespace are mapped to those of the worker. */
export interface IdMaps {
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
}

/** Who root of the container is outside of it. */
export function mappedRoot({ uids, gids }: IdMaps): { uid: number; gid: number } {
  const outside = (ranges: readonly IdRange[]) => {
    const range = ranges.find(({ inside, size }) => inside <= 0 && inside + size > 0)
    return range === undefined ? 0 : range.outside - range.inside
  }
  return { uid: outside(uids), gid: outside(gids) }
}

/**
 * Shows directories with their owners mapped while `use` runs, below `directory`, which is made and goes again. An overlay
 * that is mounted meanwhile keeps them: it has copies of its lower mounts.
 *
 * @throws ERR_ID_MAPPING_UNSUPPORTED when the file system or the kernel (overlay: 5.19) has none, or the worker is not privileged.
 */
export async function withMappedDirectories<T>(
  input: { readonly directories: readonly string[]; readonly directory: string; readonly ids: IdMaps },
  use: (mapped: readonly string[]) => T,
): Promise<T> {
  const { directories, directory, ids } = input
  const userNamespace = await namespaceOf(ids)
  const mounted: string[] = []
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  try {
    for (const [index, source] of directories.entries()) {
      const target = join(directory, String(index))
      mkdirSync(target, { recursive: true, mode: 0o700 })
      mounted.push(target)
      bind({ source, target, userNamespace })
    }
    return use(mounted)
  } finally {
    for (const target of mounted) {
      detach(target)
      rmdirSync(target)
    }
    rmdirSync(directory)
  }
}

function bind(call: Parameters<typeof bindIdMapped>[0]): void {
  try {
    bindIdMapped(call)
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'ENOSYS'].includes(errorCode(error) ?? '')) throw error
    throw new PodlibError(
      'ERR_ID_MAPPING_UNSUPPORTED',
      `cannot map the owners of the files in ${call.source} (${errorMessage(error)}): a user namespace of the container's own needs root, and a store on a file system with id-mapped mounts, such as ext4, xfs or btrfs`,
      { details: { path: call.source, systemCode: errorCode(error) }, cause: error },
    )
  }
}

function detach(target: string): void {
  try {
    umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH)
  } catch (error) {
    // It was never mounted.
    if (errorCode(error) !== 'EINVAL') throw error
  }
}

// Descriptors belong to the process, and containers with the same mapping are many.
const namespaces = new Map<string, Promise<number>>()

/** A descriptor of a user namespace with these mappings. */
function namespaceOf(ids: IdMaps): Promise<number> {
  const key = JSON.stringify(ids)
  const known = namespaces.get(key) ?? makeNamespace(ids)
  namespaces.set(key, known)
  known.catch(() => namespaces.delete(key))
  return known
}

/** The kernel takes mappings only from a namespace, and a namespace only from a process: one that lives until it is open. */
async function makeNamespace({ uids, gids }: IdMaps): Promise<number> {
  const pause = await startPause([findProgram('unshare'), '--user'], findProgram('sleep'))
  const text = (ranges: readonly IdRange[]) => ranges.map(({ inside, outside, size }) => `${inside} ${outside} ${size}\n`).join('')
  try {
    writeFileSync(`/proc/${pause.pid}/uid_map`, text(uids))
    writeFileSync(`/proc/${pause.pid}/gid_map`, text(gids))
    return openSync(`/proc/${pause.pid}/ns/user`, 'r')
  } finally {
    pause.kill()
  }
}
