import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { ThreadedHash } from '../../../src/archive/threaded-hash.ts'

async function digestOf(algorithm: string, chunks: readonly Buffer[]): Promise<string> {
  const hash = new ThreadedHash(algorithm)
  try {
    for (const chunk of chunks) hash.update(chunk)
    return await hash.digest('hex')
  } finally {
    await hash.close()
  }
}

test.each(['sha256', 'sha512'])('a thread computes the same %s as this one, whatever the chunks', async (algorithm) => {
  const sizes = [1, 0, 4095, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024, 7, ...Array<number>(20).fill(1_000_000)]
  const chunks = sizes.map((size) => randomBytes(size))
  const expected = createHash(algorithm).update(Buffer.concat(chunks)).digest('hex')
  await expect(digestOf(algorithm, chunks)).resolves.toBe(expected)
})

test('nothing has a digest too', async () => {
  await expect(digestOf('sha256', [])).resolves.toBe(createHash('sha256').digest('hex'))
})

test('a chunk may change as soon as it was taken', async () => {
  const hash = new ThreadedHash('sha256')
  const chunk = Buffer.alloc(1000, 'a')
  hash.update(chunk)
  chunk.fill('b')
  await expect(hash.digest('hex')).resolves.toBe(createHash('sha256').update('a'.repeat(1000)).digest('hex'))
  await hash.close()
})

test('it can be ended before its time', async () => {
  const hash = new ThreadedHash('sha256')
  hash.update(Buffer.from('unfinished'))
  await expect(hash.close()).resolves.toBeUndefined()
})
