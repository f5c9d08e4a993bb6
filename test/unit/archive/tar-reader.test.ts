import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { TarEntry } from '../../../src/archive/tar-entry.ts'
import { TarReader } from '../../../src/archive/tar-reader.ts'
import { ODD_LAYERS } from '../../helpers/odd-layers.ts'
import { base256, GNU, type TarBlock, tar, V7 } from '../../helpers/tar-builder.ts'

interface Read {
  entries: TarEntry[]
  /** Content by entry, at its positions. */
  contents: Buffer[]
  /** All bytes that were handed out, in order. */
  bytes: Buffer
  ends: number
}

function read(bytes: Buffer, cuts: readonly number[] = []): Read {
  const result: Read = { entries: [], contents: [], bytes: Buffer.alloc(0), ends: 0 }
  const seen: Buffer[] = []
  const reader = new TarReader({
    framing: (piece) => seen.push(Buffer.from(piece)),
    entry: (entry) => {
      result.entries.push(entry)
      result.contents.push(Buffer.alloc(entry.size))
    },
    data: (piece, position) => {
      seen.push(Buffer.from(piece))
      piece.copy(result.contents.at(-1) as Buffer, position)
    },
    entryEnd: () => result.ends++,
  })
  const borders = [0, ...[...cuts].sort((a, b) => a - b), bytes.length]
  for (const [index, border] of borders.entries()) if (index > 0) reader.push(bytes.subarray(borders[index - 1], border))
  reader.end()
  expect(reader.offset).toBe(bytes.length)
  return { ...result, bytes: Buffer.concat(seen) }
}

const one = (block: TarBlock): TarEntry => read(tar(block)).entries[0] as TarEntry

describe('TarReader', () => {
  const small = Object.entries(ODD_LAYERS)

  test.each(small)('hands out every byte once, in order: %s', (_, bytes) => {
    const result = read(bytes)
    expect(result.bytes.equals(bytes)).toBe(true)
    expect(result.ends).toBe(result.entries.length)
  })

  test('reads the same however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.constantFrom(...small), fc.array(fc.nat(20_000), { maxLength: 30 }), ([, bytes], cuts) => {
        const clamped = cuts.map((cut) => Math.min(cut, bytes.length))
        expect(read(bytes, clamped)).toEqual(read(bytes))
      }),
    )
  })

  test('reads the same byte by byte', () => {
    for (const name of ['a PAX 1.0 sparse file', 'GNU long name and link', 'an old GNU sparse file with extension blocks']) {
      const bytes = ODD_LAYERS[name] as Buffer
      expect(read(bytes, [...bytes.keys()])).toEqual(read(bytes))
    }
  })

  test('never takes random bytes for a tar, and never fails in another way', () => {
    fc.assert(
      fc.property(fc.constantFrom(...small), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 64 }), ([, bytes], at, noise) => {
        const damaged = Buffer.from(bytes)
        damaged.set(noise.subarray(0, Math.max(0, damaged.length - (at % (damaged.length || 1)))), at % (damaged.length || 1))
        try {
          read(damaged)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_LAYER_INVALID' })
        }
      }),
      { numRuns: 150 },
    )
  })
})

describe('header fields', () => {
  test.each<[string, TarBlock, Partial<TarEntry>]>([
    ['octal with spaces before', { uid: Buffer.from('    17 \0') }, { uid: 0o17 }],
    ['octal ended by a blank only', { uid: Buffer.from('0000017 ') }, { uid: 0o17 }],
    ['octal over the whole field', { uid: Buffer.from('00000017') }, { uid: 0o17 }],
    ['an empty number', { uid: Buffer.alloc(8) }, { uid: 0 }],
    ['left-overs after a NUL', { uid: Buffer.from('17\0xyzab') }, { uid: 0o17 }],
    ['base-256', { uid: base256(3_000_000n, 8), magic: GNU }, { uid: 3_000_000 }],
    ['negative base-256 time', { mtime: base256(-5n, 12), magic: GNU }, { mtime: { seconds: -5, nanoseconds: 0 } }],
    [
      'a time beyond all bounds',
      { mtime: base256(1n << 90n, 12), magic: GNU },
      { mtime: { seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 } },
    ],
    ['file type bits in the mode', { mode: 0o104755 }, { mode: 0o4755 }],
    [
      'PAX before header',
      {
        uid: 1,
        pax: [
          ['uid', '2'],
          ['gid', '3'],
          ['mtime', '1.5'],
        ],
      },
      { uid: 2, gid: 3, mtime: { seconds: 1, nanoseconds: 500_000_000 } },
    ],
    [
      'an empty PAX value',
      {
        uid: 1,
        pax: [
          ['uid', ''],
          ['path', ''],
          ['mtime', ''],
        ],
        mtime: 7,
        name: 'n',
      },
      { uid: 1, name: Buffer.from('n'), mtime: { seconds: 7, nanoseconds: 0 } },
    ],
    [
      'the last of two PAX values',
      {
        pax: [
          ['uid', '1'],
          ['uid', '2'],
        ],
      },
      { uid: 2 },
    ],
    ['GNU names before PAX names', { longName: 'gnu', pax: [['path', 'pax']] }, { name: Buffer.from('gnu') }],
    ['a directory in V7', { name: 'd/', type: '\0', magic: V7 }, { type: 'directory' }],
    ['a file with a slash', { name: 'd/', type: '0' }, { type: 'file' }],
    ['device numbers', { type: '3', major: 5, minor: 1 }, { type: 'character-device', deviceMajor: 5, deviceMinor: 1 }],
    ['content that a directory cannot have', { type: '5', size: 4096 }, { type: 'directory', size: 0, storedSize: 0 }],
  ])('%s', (_, block, expected) => {
    expect(one(block)).toMatchObject(expected)
  })

  test('a checksum of signed bytes is as good', () => {
    const bytes = tar({ name: Buffer.from([0xe9, 0xe8]) })
    const sum = bytes
      .subarray(0, 512)
      .reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte > 127 ? byte - 256 : byte), 0)
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    expect(read(bytes).entries).toHaveLength(1)
  })

  test('attribute values stay bytes', () => {
    const value = Buffer.from([0, 0xff, 10, 0xc0, 0x20, 61])
    expect(
      one({
        pax: [
          ['SCHILY.xattr.user.b', value],
          ['SCHILY.xattr.user.empty', ''],
        ],
      }).xattrs,
    ).toEqual(
      new Map([
        ['user.b', value],
        ['user.empty', Buffer.alloc(0)],
      ]),
    )
  })

  test("of libarchive's two forms of an attribute the raw one counts", () => {
    expect(
      one({
        pax: [
          ['LIBARCHIVE.xattr.user.a', 'eQ=='],
          ['SCHILY.xattr.user.a', 'x'],
        ],
      }).xattrs,
    ).toEqual(new Map([['user.a', Buffer.from('x')]]))
  })

  test('each entry tells where its first header is', () => {
    expect(read(tar({ name: 'a' }, { name: 'b', pax: [['mtime', '1']] }, { name: 'c' })).entries.map(({ offset }) => offset)).toEqual([
      0, 512, 2048,
    ])
  })
})
