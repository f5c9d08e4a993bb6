import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { TarEntry } from '../../../src/archive/tar-entry.ts'
import { type IndexedEntry, indexTar } from '../../../src/archive/tar-index.ts'
import { TarReader } from '../../../src/archive/tar-reader.ts'
import { ODD_LAYERS } from '../../helpers/odd-layers.ts'
import { GNU, tar, tarMember } from '../../helpers/tar-builder.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const LIMITS = { maxEntries: 1000, maxHeaderBytes: 4096 }
const directory = temporaryDirectories()

async function indexed(bytes: Buffer, limits = LIMITS): Promise<IndexedEntry[]> {
  const path = join(directory(), 'a.tar')
  writeFileSync(path, bytes)
  const file = await open(path)
  try {
    const entries: IndexedEntry[] = []
    for await (const entry of indexTar(file, limits)) entries.push(entry)
    return entries
  } finally {
    await file.close()
  }
}

describe('the index of a tar', () => {
  test('says where the content of each member is', async () => {
    const bytes = tar(
      { name: 'a/', type: '5' },
      { name: 'a/x', content: 'hello' },
      { name: 'big', content: Buffer.alloc(200_000, 'z') },
      { name: 'end', content: 'bye' },
    )
    const entries = await indexed(bytes)
    expect(entries.map(({ name }) => name.toString())).toEqual(['a/', 'a/x', 'big', 'end'])
    const content = ({ contentOffset, size }: IndexedEntry) => bytes.toString('latin1', contentOffset, contentOffset + size)
    expect(entries.map(content)).toEqual(['', 'hello', 'z'.repeat(200_000), 'bye'])
  })

  test('knows PAX and GNU long names, and PAX sizes', async () => {
    const long = `${'d/'.repeat(150)}f`
    const bytes = tar({ name: 'x', content: '1', pax: [['path', long]] }, { name: 'y', longName: long.slice(2), magic: GNU, content: '2' })
    expect((await indexed(bytes)).map(({ name }) => name.toString())).toEqual([long, long.slice(2)])
    const sized = tar({ name: 'x', size: 0, pax: [['size', '5']] }, Buffer.from('hello'.padEnd(512, '\0')), tarMember({ name: 'z' }))
    expect((await indexed(sized)).map(({ size }) => size)).toEqual([5, 0])
  })

  test('has the members that the reader of layers finds', async () => {
    const plain = Object.entries(ODD_LAYERS).filter(([, bytes]) => bytes.length % 512 === 0)
    expect(plain.length).toBeGreaterThan(40)
    for (const [what, bytes] of plain) {
      const found: TarEntry[] = []
      const reader = new TarReader({ framing: () => {}, data: () => {}, entryEnd: () => {}, entry: (entry) => found.push(entry) })
      reader.push(bytes)
      if (found.some(({ sparse }) => sparse)) continue
      const own = (await indexed(bytes)).map(({ contentOffset, ...entry }) => entry)
      // The reader counts from the first of a member's headers.
      expect([what, own.map(({ offset, ...entry }) => entry)]).toEqual([what, found.map(({ offset, ...entry }) => entry)])
    }
  })

  test('needs no end blocks', async () => {
    expect(await indexed(tarMember({ name: 'a', content: 'x' }))).toHaveLength(1)
    expect(await indexed(Buffer.alloc(0))).toEqual([])
  })

  test.each([
    ['text', Buffer.from('no tar at all'.repeat(100))],
    ['a header that is cut off', tarMember({ name: 'a' }).subarray(0, 300)],
    ['content that is cut off', tarMember({ name: 'a', content: 'x'.repeat(2000) }).subarray(0, 1024)],
    ['a size beyond the file', tar({ name: 'a', size: 2 ** 40 })],
    ['a sparse member', tar({ name: 'a', type: 'S', magic: GNU, size: 0 })],
    ['a sparse member in PAX form', tar({ name: 'a', content: 'x', pax: [['GNU.sparse.major', '1']] })],
    ['a wrong checksum', tar({ name: 'a', badChecksum: true })],
  ])('refuses %s', async (_, bytes) => {
    await expect(indexed(bytes)).rejects.toMatchObject({ code: 'ERR_LAYER_INVALID' })
  })

  test('has limits', async () => {
    const many = tar(...Array.from({ length: 20 }, (_, index) => ({ name: `f${index}` })))
    await expect(indexed(many, { ...LIMITS, maxEntries: 19 })).rejects.toMatchObject({ code: 'ERR_ARCHIVE_TOO_LARGE' })
    const long = tar({ name: 'x', pax: [['path', 'a'.repeat(5000)]] })
    await expect(indexed(long)).rejects.toMatchObject({ code: 'ERR_ARCHIVE_TOO_LARGE' })
  })
})
