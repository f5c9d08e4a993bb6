import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { outputOf, runProgram } from '../helpers/programs.ts'

const PARENT = '/var/tmp/podlib-bench'
/** Sparse: only what is written takes room. */
const SIZE = '16G'

/** A new, empty ext4 on a loop device. Disposing of it twice does no harm. */
export interface FreshFilesystem extends AsyncDisposable {
  readonly path: string
}

/**
 * An ext4 without a journal, which virtual machines like to have, avoids inodes that were freed in the last minutes, by a
 * search that makes each new file slower the more there are (`find_inode_bit` in the kernel's fs/ext4/ialloc.c): an attached
 * run takes half as long again there, and extraction after a removal up to ten times as long. All is therefore measured on
 * an ext4 as `mkfs.ext4` makes it, and what unpacks many files on one that never held any.
 */
export async function freshFilesystem(): Promise<FreshFilesystem> {
  await mkdir(PARENT, { recursive: true })
  const directory = await mkdtemp(join(PARENT, 'fs-'))
  const [image, path] = [join(directory, 'image'), join(directory, 'mount')]
  const remove = () => rm(directory, { recursive: true, force: true })
  try {
    await mkdir(path)
    await runProgram('truncate', ['-s', SIZE, image])
    // Everything is laid out now and nothing by the kernel in the background, while something is being measured.
    await runProgram('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image])
    await runProgram('mount', ['-o', 'loop', image, path])
    // A disk does not keep what is written to it in this machine's memory a second time, at the cost of this machine's processors.
    const device = await outputOf('findmnt', ['--noheadings', '--output', 'SOURCE', path])
    await runProgram('losetup', ['--direct-io=on', device.trim()])
    // Else whoever syncs first, as podlib does and podman does not, writes the empty tables of inodes as well.
    await runProgram('sync', ['--file-system', path, directory])
  } catch (error) {
    await runProgram('umount', [path]).catch(() => {})
    await remove()
    throw error
  }
  let open = true
  const close = async () => {
    if (!open) return
    open = false
    // Where a peer that was cut short still writes, it goes when that ends.
    await runProgram('umount', ['--recursive', path]).catch(() => runProgram('umount', ['--lazy', path]))
    await remove()
  }
  return { path, [Symbol.asyncDispose]: close }
}
