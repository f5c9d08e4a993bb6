import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { ThreadedHash } from '../../../src/archive/threaded-hash.ts'

async function digestOf(algorithm: string, chunks: readonly Buffer[]): Promise<string> {
  const hash = new ThreadedHash(algorithm)
  try {
    for (const chunk of chunks) hash.take(chunk)
    return await hash.digest('hex')
  } finally {
    await hash.close()
  }
}

test.each(['sha256', 'sha512'])('a thread computes the same %s as this one, whatever the chunks', async (algorithm) => {
  const sizes = [1, 0, 4095, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024, 7, ...Array<number>(20).fill(1_000_000)]
  const chunks = sizes.map((size) => randomBytes(size))
  const shared = randomBytes(3_000_000)
  for (let start = 0; start < shared.length; start += 1_000_000) chunks.push(shared.subarray(start, start + 1_000_000))
  const expected = createHash(algorithm).update(Buffer.concat(chunks)).digest('hex')
  await expect(digestOf(algorithm, chunks)).resolves.toBe(expected)
})

test('nothing has a digest too', async () => {
  await expect(digestOf('sha256', [])).resolves.toBe(createHash('sha256').digest('hex'))
})

test('chunks of one buffer stay readable until the last of them was taken', async () => {
  const hash = new ThreadedHash('sha256')
  const whole = Buffer.alloc(1_000_000, 'a')
  const expected = createHash('sha256').update(whole).digest('hex')
  hash.take(whole.subarray(0, 400_000))
  expect(whole.toString('latin1', 0, 3)).toBe('aaa')
  hash.take(whole.subarray(400_000))
  expect(whole.length).toBe(0)
  await expect(hash.digest('hex')).resolves.toBe(expected)
  await hash.close()
})

test('small buffers, which share their memory with others, are left as they are', async () => {
  const hash = new ThreadedHash('sha256')
  const [small, neighbour] = [Buffer.from('small'), Buffer.from('neighbour')]
  hash.take(small)
  expect([small.toString(), neighbour.toString()]).toEqual(['small', 'neighbour'])
  await expect(hash.digest('hex')).resolves.toBe(createHash('sha256').update('small').digest('hex'))
  await hash.close()
})

test('it can be ended before its time', async () => {
  const hash = new ThreadedHash('sha256')
  hash.take(Buffer.from('unfinished'))
  await expect(hash.close()).resolves.toBeUndefined()
})
