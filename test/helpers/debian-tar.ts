import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, realpath, rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { madeOnce } from './made-once.ts'
import { runProgram } from './programs.ts'

const CACHE = '/var/tmp/podlib-test-images'
const SUITE = 'bookworm'

/** The root file system of a small Debian as a tar: real packages, some thousand files. Kept for the next run too. */
export async function debianTar(): Promise<string> {
  const link = await madeOnce('debian.tar', async (path) => symlink(await cachedTar(), path))
  try {
    return await realpath(link.path)
  } finally {
    await link.release()
  }
}

async function cachedTar(): Promise<string> {
  const path = join(CACHE, `debian-${SUITE}.tar`)
  if (existsSync(path)) return path
  await mkdir(CACHE, { recursive: true })
  const partial = join(CACHE, `partial-${randomBytes(4).toString('hex')}.tar`)
  await runProgram('mmdebstrap', ['--quiet', '--variant=essential', SUITE, partial])
  await rename(partial, path)
  return path
}
