import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { brotliCompressSync, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createCompressor, Decompressor, decompressedChunks, detectCompression } from '../../../src/archive/compression.ts'
import { ODD_COMPRESSIONS, SMALL_TAR } from '../../helpers/odd-layers.ts'

/** Through the decompressor in pieces of at most `size` bytes. */
async function decompress(bytes: Buffer, size = bytes.length || 1): Promise<Buffer> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    Buffer.from(bytes.subarray(index * size, (index + 1) * size)),
  )
  const out: Buffer[] = []
  for await (const chunk of decompressedChunks(Readable.from(chunks))) out.push(chunk)
  return Buffer.concat(out)
}

describe('decompression', () => {
  test.each(Object.entries(ODD_COMPRESSIONS))('%s, whole and in small pieces', async (_, blob) => {
    for (const size of [blob.length, 13]) expect((await decompress(blob, size)).equals(SMALL_TAR)).toBe(true)
  })

  test('what is neither gzip nor zstd passes through', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('x'), randomBytes(5000).fill(0, 0, 1), brotliCompressSync('x')]) {
      expect((await decompress(bytes, 3)).equals(bytes)).toBe(true)
    }
  })

  test('frames of every kind, cut anywhere', async () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(300_000).map((length) => new Uint8Array(length)),
      fc.nat(200_000).map((length) => randomBytes(length)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 4 }), fc.integer({ min: 500, max: 100_000 }), async (parts, size) => {
        const whole = Buffer.concat(parts)
        expect((await decompress(Buffer.concat(parts.map((bytes) => zstdCompressSync(bytes))), size)).equals(whole)).toBe(true)
        expect((await decompress(Buffer.concat(parts.map((bytes) => gzipSync(bytes))), size)).equals(whole)).toBe(true)
      }),
      { numRuns: 10 },
    )
  })

  test('every truncation is found', async () => {
    for (const blob of [gzipSync('some text'), Buffer.concat([zstdCompressSync('some text'), zstdCompressSync('more')])]) {
      const border = zstdCompressSync('some text').length
      for (let length = 6; length < blob.length; length++) {
        if (blob[0] === 0x28 && length === border) continue
        await expect(decompress(blob.subarray(0, length), 5)).rejects.toMatchObject({ code: 'ERR_COMPRESSION_INVALID' })
      }
    }
  })

  test('more than a chunk waits for its reader', async () => {
    const decompressor = new Decompressor()
    decompressor.end(zstdCompressSync(Buffer.alloc(64 * 1024 * 1024)))
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(decompressor.readableLength).toBeLessThan(4)
    let size = 0
    for await (const chunk of decompressor as AsyncIterable<Buffer>) size += chunk.length
    expect(size).toBe(64 * 1024 * 1024)
  })

  test('a failing source is the error, not what it does to the stream', async () => {
    const failure = new Error('no more')
    async function* source() {
      yield gzipSync(randomBytes(100_000)).subarray(0, 50_000)
      throw failure
    }
    const read = async () => {
      for await (const chunk of decompressedChunks(source())) expect(chunk.length).toBeGreaterThan(0)
    }
    await expect(read()).rejects.toBe(failure)
  })
})

describe('compression', () => {
  test.each(['gzip', 'zstd'] as const)('%s is found by its first bytes and comes back', async (compression) => {
    const chunks: Buffer[] = []
    await pipeline(Readable.from([SMALL_TAR, SMALL_TAR]), createCompressor(compression, 1), async (stream: AsyncIterable<Buffer>) => {
      for await (const chunk of stream) chunks.push(chunk)
    })
    const blob = Buffer.concat(chunks)
    expect(detectCompression(blob)).toBe(compression)
    expect((await decompress(blob)).equals(Buffer.concat([SMALL_TAR, SMALL_TAR]))).toBe(true)
    if (compression === 'gzip') expect(gunzipSync(blob).length).toBe(2 * SMALL_TAR.length)
  })
})
