import { execFileSync } from 'node:child_process'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { TarEntry } from '../../../src/archive/tar-entry.ts'
import { TarReader } from '../../../src/archive/tar-reader.ts'
import { encodeTarMember, TAR_END_BYTES, type TarMember } from '../../../src/archive/tar-writer.ts'

const END = Buffer.alloc(TAR_END_BYTES)

function readBack(bytes: Buffer): TarEntry[] {
  const entries: TarEntry[] = []
  const reader = new TarReader({ framing: () => {}, entry: (entry) => entries.push(entry), data: () => {}, entryEnd: () => {} })
  reader.push(bytes)
  reader.end()
  return entries
}

const name = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => Buffer.from(bytes.map((byte) => byte || 47)))
const member = fc.record({
  type: fc.constantFrom('file', 'directory', 'symlink', 'hard-link', 'character-device', 'block-device', 'fifo'),
  name,
  linkName: name,
  mode: fc.nat(0o7777),
  uid: fc.nat(4_294_967_294),
  gid: fc.nat(4_294_967_294),
  mtime: fc.record({ seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nanoseconds: fc.nat(999_999_999) }),
  xattrs: fc
    .array(
      fc.tuple(
        fc.string({ minLength: 1 }).filter((text) => !text.includes('\0')),
        fc.uint8Array(),
      ),
    )
    .map((pairs) => new Map(pairs)),
  deviceMajor: fc.nat(0o7777777),
  deviceMinor: fc.nat(0o7777777),
}) satisfies fc.Arbitrary<TarMember>

test('what is written is read back, whatever it is', () => {
  fc.assert(
    fc.property(member, (written) => {
      const [entry] = readBack(Buffer.concat([encodeTarMember(written), END]))
      const isLink = written.type === 'symlink' || written.type === 'hard-link'
      const { name: asRead, linkName, xattrs, ...rest } = entry as TarEntry
      expect(rest).toMatchObject({
        type: written.type,
        mode: written.mode,
        uid: written.uid,
        gid: written.gid,
        mtime: written.mtime,
        deviceMajor: written.deviceMajor,
        deviceMinor: written.deviceMinor,
      })
      expect(asRead.toString('latin1').replace(/\/$/, '')).toBe(written.name.toString('latin1').replace(/\/$/, ''))
      if (isLink) expect(linkName.equals(written.linkName)).toBe(true)
      expect(new Map([...xattrs].map(([key, value]) => [key, [...value]]))).toEqual(
        new Map([...written.xattrs].map(([key, value]) => [key, [...value]])),
      )
    }),
    { numRuns: 200 },
  )
})

const plain = { type: 'file', name: 'a', mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 1, nanoseconds: 0 } } as const

test('an ordinary entry takes one block, and the same entry gives the same bytes', () => {
  expect(encodeTarMember(plain)).toHaveLength(512)
  const xattrs = [
    ['user.b', Buffer.from('1')],
    ['user.a', Buffer.from('2')],
  ] as const
  const bytes = encodeTarMember({ ...plain, xattrs: new Map(xattrs) })
  expect(encodeTarMember({ ...plain, xattrs: new Map([...xattrs].reverse()) }).equals(bytes)).toBe(true)
})

test('a file of more than 8 GiB has its size', () => {
  const size = 2 ** 40
  const headers = encodeTarMember({ ...plain, size })
  const entries: TarEntry[] = []
  new TarReader({ framing: () => {}, entry: (entry) => entries.push(entry), data: () => {}, entryEnd: () => {} }).push(headers)
  expect(entries[0]?.size).toBe(size)
})

test.each([
  ['', 'ERR_ARCHIVE_INVALID'],
  ['a\0b', 'ERR_ARCHIVE_INVALID'],
])('refuses the name %j', (bad, code) => {
  expect(() => encodeTarMember({ ...plain, name: bad })).toThrow(expect.objectContaining({ code }))
})

test('GNU tar reads it', () => {
  const long = `${'directory/'.repeat(30)}file`
  const bytes = Buffer.concat([
    encodeTarMember({ ...plain, type: 'directory', name: 'directory' }),
    encodeTarMember({ ...plain, name: long, mode: 0o4755, uid: 3_000_000, mtime: { seconds: 5, nanoseconds: 250_000_000 } }),
    encodeTarMember({ ...plain, name: `${'d/'.repeat(60)}f`, type: 'symlink', linkName: '/t'.repeat(80) }),
    encodeTarMember({ ...plain, name: 'null', type: 'character-device', deviceMajor: 1, deviceMinor: 3 }),
    END,
  ])
  const listing = execFileSync('tar', ['--numeric-owner', '--full-time', '-tvf', '-'], {
    input: bytes,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, TZ: 'UTC', LC_ALL: 'C' },
  })
    .trim()
    .split('\n')
  expect(listing[0]).toMatch(/^drw-r--r-- 0\/0 .* directory\/$/)
  expect(listing[1]).toMatch(/^-rwsr-xr-x 3000000\/0 .*1970-01-01 00:00:05\.25 directory\/.*file$/)
  expect(listing[2]).toMatch(/^l.* (d\/){60}f -> (\/t){80}$/)
  expect(listing[3]).toMatch(/^c.* 1,3 .* null$/)
})
