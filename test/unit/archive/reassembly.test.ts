import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type ReassemblyRecord, ReassemblyWriter, readReassembly } from '../../../src/archive/reassembly.ts'
import { digestOf } from '../../../src/spec/digest.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'podlib-reassembly-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const DIFF_ID = digestOf('tar')

async function records(path: string): Promise<ReassemblyRecord[]> {
  const found: ReassemblyRecord[] = []
  for await (const record of readReassembly(path)) found.push(record)
  return found
}

function write(name: string, fill: (writer: ReassemblyWriter) => void): string {
  const path = join(directory, name)
  const writer = new ReassemblyWriter(path)
  fill(writer)
  writer.finish(1234, DIFF_ID)
  writer.close()
  return path
}

test('gives back what was written, with raw bytes joined', async () => {
  const path = write('a', (writer) => {
    writer.raw(Buffer.from('head'))
    writer.raw(Buffer.from('er'))
    expect(writer.payload({ path: Buffer.from([0xff, 47, 1]), size: 2 ** 40, sparse: undefined })).toBe(0)
    expect(writer.payload({ path: Buffer.from('b'), size: 5, sparse: [{ offset: 7, length: 5 }] })).toBe(1)
    writer.raw(Buffer.from('end'))
  })
  expect(await records(path)).toEqual([
    { kind: 'raw', bytes: Buffer.from('header') },
    { kind: 'payload', number: 0, path: Buffer.from([0xff, 47, 1]), size: 2 ** 40, sparse: undefined },
    { kind: 'payload', number: 1, path: Buffer.from('b'), size: 5, sparse: [{ offset: 7, length: 5 }] },
    { kind: 'raw', bytes: Buffer.from('end') },
    { kind: 'end', size: 1234, diffId: DIFF_ID },
  ])
})

test('any mix of sizes, also those that fill a frame to the last byte', async () => {
  const near = fc.integer({ min: 256 * 1024 - 40, max: 256 * 1024 + 40 })
  const piece = fc.record({ raw: fc.boolean(), length: fc.oneof(fc.nat(50), near, fc.nat(900_000)) })
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      const expected: Buffer[] = []
      const paths: number[] = []
      const path = write(`mix-${run++}`, (writer) => {
        for (const [index, { raw, length }] of pieces.entries()) {
          if (raw) expected.push(Buffer.alloc(length, index))
          if (raw) writer.raw(Buffer.alloc(length, index))
          else {
            paths.push(length % 4000)
            writer.payload({ path: Buffer.alloc(length % 4000, 'p'), size: length, sparse: undefined })
          }
        }
      })
      const found = await records(path)
      expect(Buffer.concat(found.flatMap((record) => (record.kind === 'raw' ? [record.bytes] : []))).equals(Buffer.concat(expected))).toBe(
        true,
      )
      expect(found.flatMap((record) => (record.kind === 'payload' ? [record.path.length] : []))).toEqual(paths)
      expect(found.at(-1)).toEqual({ kind: 'end', size: 1234, diffId: DIFF_ID })
    }),
    { numRuns: 30 },
  )
})

test('headers of a large layer take little room', () => {
  const path = write('big', (writer) => {
    for (let index = 0; index < 2000; index++) writer.raw(Buffer.alloc(512, `usr/share/doc/package-${index}/copyright`))
  })
  expect(readFileSync(path).length).toBeLessThan(100_000)
})

test.each<[string, (path: string) => void]>([
  ['is cut', (path) => truncateSync(path, 20)],
  ['has another version', (path) => writeFileSync(path, zstdCompressSync(Buffer.concat([Buffer.from('PLRA\x02'), Buffer.alloc(50)])))],
  [
    'has a record of an unknown kind',
    (path) => writeFileSync(path, zstdCompressSync(Buffer.concat([Buffer.from('PLRA\x01'), Buffer.alloc(50, 9)]))),
  ],
  ['is cut in a record', (path) => writeFileSync(path, zstdCompressSync(zstdDecompressSync(readFileSync(path)).subarray(0, 8)))],
  ['is empty', (path) => truncateSync(path, 0)],
])('a side file that %s is an error', async (_, damage) => {
  const path = write('damaged', (writer) => writer.raw(Buffer.from('header')))
  damage(path)
  await expect(records(path)).rejects.toMatchObject({ name: 'PodlibError' })
})
