import { mountRootfs } from './mount-rootfs.ts'
import { readInRoot } from './read-in-root.ts'
import { removeTree } from './remove-tree.ts'
import { unmount } from './unmount.ts'

/** Every job that the host worker can do, by the name used on the line. */
export const JOBS = {
  'mount-rootfs': mountRootfs,
  'read-in-root': readInRoot,
  'remove-tree': removeTree,
  unmount,
} as const
