import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from './programs.ts'

/** A file system on a disk that can be made to refuse new blocks, as a thin device does, or one that is broken. */
export interface FailingDisk extends AsyncDisposable {
  readonly path: string
  /** What is written from now on the file system takes, but the disk does not. */
  refuse(): Promise<void>
  /** The disk takes what is written again. What it has refused is not written once more. */
  accept(): void
  /** What the disk has of a file, whatever the memory has: what would be left of it after a power cut. */
  read(file: string): Buffer
}

/** A real ext4 on a loop device whose file is in a small tmpfs: a disk that is full when that is. */
export async function failingDisk(): Promise<FailingDisk> {
  const directory = mkdtempSync(join(tmpdir(), 'podlib-disk-'))
  const [medium, path] = [join(directory, 'medium'), join(directory, 'disk')]
  const [image, filler] = [join(medium, 'image'), join(medium, 'filler')]
  for (const each of [medium, path]) mkdirSync(each)
  await runProgram('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', medium])
  await runProgram('truncate', ['-s', '1G', image])
  // Its own tables are on the disk from the start: only the content of files is refused, as it mostly is.
  await runProgram('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-E', 'lazy_itable_init=0', image])
  await runProgram('mount', ['-o', 'loop', image, path])
  return {
    path,
    async refuse() {
      await using file = await open(filler, 'w')
      const { bavail, bsize } = statfsSync(medium)
      await file.appendFile(Buffer.alloc(bavail * bsize))
    },
    accept: () => rmSync(filler),
    read: (file) => execFileSync('dd', [`if=${file}`, 'iflag=direct', 'bs=1M', 'status=none'], { maxBuffer: 2 ** 30 }),
    async [Symbol.asyncDispose]() {
      for (const each of [path, medium]) {
        await runProgram('umount', [each])
        rmdirSync(each)
      }
      rmdirSync(directory)
    },
  }
}
