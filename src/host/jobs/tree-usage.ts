import { lstatSync, readdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { errorCode } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'

/** The unit of `st_blocks`, stat(2). */
const BLOCK_BYTES = 512
/** Directories between two looks at whether anybody still wants to know. */
const TURN = 100

/**
 * What a tree takes on disk, each file once whatever its names; 0 for one that is not there. Links are not followed, and what is
 * mounted in it is not of it.
 */
export async function treeUsage({ path }: { readonly path: string }, { signal }: Pick<JobContext, 'signal'>): Promise<number> {
  const linked = new Set<string>()
  const waiting = [Buffer.from(path)]
  const device = ignoringMissing(() => lstatSync(path))?.dev
  let bytes = 0
  for (let count = 1; waiting.length > 0; count++) {
    const directory = waiting.pop() as Buffer
    const stat = ignoringMissing(() => lstatSync(directory))
    if (stat === undefined || stat.dev !== device) continue
    bytes += stat.blocks * BLOCK_BYTES
    for (const entry of ignoringMissing(() => readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) ?? []) {
      const inside = Buffer.concat([directory, Buffer.from('/'), entry.name])
      if (entry.isDirectory()) waiting.push(inside)
      else bytes += ignoringMissing(() => ownBytes(inside, linked)) ?? 0
    }
    if (count % TURN === 0) await nextTurn()
    signal.throwIfAborted()
  }
  return bytes
}

function ownBytes(path: Buffer, linked: Set<string>): number {
  const { dev, ino, nlink, blocks } = lstatSync(path)
  const file = `${dev}:${ino}`
  if (nlink > 1 && linked.has(file)) return 0
  if (nlink > 1) linked.add(file)
  return blocks * BLOCK_BYTES
}

/** Others may be at work in the tree. */
function ignoringMissing<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
