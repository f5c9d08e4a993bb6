import { errorCode } from '../../errors/errors.ts'
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount2 } from '../sys/libc.ts'

/** Unmounts each target; what is not mounted, or not there, is no error. A busy mount is detached and goes when its last user does. */
export function unmount({ targets }: { readonly targets: readonly string[] }): void {
  for (const target of targets) unmountOne(target)
}

function unmountOne(target: string): void {
  try {
    umount2(target, UMOUNT_NOFOLLOW)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EINVAL' || code === 'ENOENT') return
    if (code !== 'EBUSY') throw error
    umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH)
  }
}
