import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorCode } from '../../src/errors/errors.ts'

/** Something that must not be changed, because others use it too. */
export interface MadeOnce {
  readonly path: string
  /** Says that this test file needs it no more. */
  release(): Promise<void>
}

/**
 * Gives what `make` puts at a path, where it must appear as a whole. Test files that run at the same time, or one after
 * the other, share it; a file that is run by itself has its own.
 */
export async function madeOnce(name: string, make: (path: string) => Promise<void>): Promise<MadeOnce> {
  // Of the runner of the tests, which removes it when all have ended.
  const shared = process.env.PODLIB_TEST_MADE_ONCE
  if (shared === undefined) {
    const directory = await mkdtemp(join(tmpdir(), 'podlib-once-'))
    const release = () => rm(directory, { recursive: true, force: true })
    try {
      await make(join(directory, name))
    } catch (error) {
      await release()
      throw error
    }
    return { path: join(directory, name), release }
  }
  const path = join(shared, name)
  await makeInTurn(path, `${path}.making`, make)
  return { path, release: async () => {} }
}

/** Whoever makes the directory `turn` makes the thing; the others wait until it is there, or take their turn. */
async function makeInTurn(path: string, turn: string, make: (path: string) => Promise<void>): Promise<void> {
  while (!existsSync(path)) {
    try {
      await mkdir(turn)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      await sleep(20)
      continue
    }
    try {
      if (!existsSync(path)) await make(path)
    } finally {
      await rmdir(turn)
    }
  }
}
