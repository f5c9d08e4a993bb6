import { errorCode } from '../../errors/errors.ts'
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount2 } from '../sys/libc.ts'

/** More than that nobody stacks by accident. */
const MOST_MOUNTS = 32

/**
 * Unmounts each target until nothing is mounted there: programs that died one after the other may have mounted one over the
 * other. What is not mounted, or not there, is no error. A busy mount is detached and goes when its last user does.
 */
export function unmount({ targets }: { readonly targets: readonly string[] }): void {
  for (const target of targets) {
    for (let left = MOST_MOUNTS; left > 0 && unmountOne(target); left--);
  }
}

/** @returns whether something was mounted there */
function unmountOne(target: string): boolean {
  try {
    umount2(target, UMOUNT_NOFOLLOW)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EINVAL' || code === 'ENOENT') return false
    if (code !== 'EBUSY') throw error
    umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH)
  }
  return true
}
