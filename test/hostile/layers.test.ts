import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sealLayers } from '../../src/host/jobs/seal-layers.ts'
import { mount, umount2 } from '../../src/host/sys/libc.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { LayerBench } from '../helpers/layers.ts'
import { EMPTY_DOCKER_LAYER, ODD_COMPRESSIONS, ODD_LAYERS, SMALL_TAR } from '../helpers/odd-layers.ts'
import { base256, GNU, paxMember, paxRecord, type TarBlock, tar, tarMember } from '../helpers/tar-builder.ts'
import { treeFacts, treeNames } from '../helpers/tree-listing.ts'

let bench: LayerBench
let outside: string
let before: unknown
beforeAll(() => {
  bench = new LayerBench()
  // Beside the layers: what a layer that gets out would change. `layer-evil` has the layer's name as a prefix.
  outside = join(bench.path, 'victim')
  mkdirSync(join(outside, 'closed'), { recursive: true, mode: 0o700 })
  writeFileSync(join(outside, 'secret'), 'secret', { mode: 0o600 })
  before = treeFacts(outside)
})
afterAll(() => {
  expect(treeFacts(outside)).toEqual(before)
  bench.remove()
})

const directory = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o777, ...more })
const symlink = (name: string, linkName: string): TarBlock => ({ name, type: '2', linkName })
const hardLink = (name: string, linkName: string): TarBlock => ({ name, type: '1', linkName })

/** Unpacks something that must fail: with this code, at once, without a trace. */
async function refused(blob: Buffer, code: string, options: Parameters<LayerBench['unpack']>[1] = {}): Promise<Record<string, unknown>> {
  const open = readdirSync('/proc/self/fd').length
  const error: unknown = await bench.unpack(blob, options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ name: 'PodlibError', code })
  expect(bench.leftovers()).toEqual([])
  expect(readdirSync('/proc/self/fd').length).toBe(open)
  return (error as { details: Record<string, unknown> }).details
}

const LEADING_OUT = [
  'CVE-2026-17106, CVE-2025-48387, CVE-2024-12905, CVE-2025-59343, CVE-2018-20835, CVE-2020-10696, CVE-2021-32760',
  'CVE-2026-23745, CVE-2026-24842, CVE-2026-26960, CVE-2026-31802, CVE-2021-32803, CVE-2021-32804, CVE-2021-37701, CVE-2021-37712',
].join(', ')

describe(`entries that lead out of the layer (${LEADING_OUT})`, () => {
  const UP = '../'.repeat(12)
  test.each<[string, () => TarBlock[]]>([
    ['a file below a symbolic link', () => [symlink('a', outside), { name: 'a/new' }]],
    ['a file below a link to a link', () => [symlink('b', outside), symlink('a', 'b'), { name: 'a/new' }]],
    ['a file below a link that goes up', () => [directory('d'), symlink('d/a', UP), { name: 'd/a/new' }]],
    ['a directory below a symbolic link', () => [symlink('a', outside), directory('a/closed')]],
    ['a directory that was replaced by a link', () => [directory('a'), symlink('a', outside), { name: 'a/new' }]],
    ['a whiteout below a symbolic link', () => [symlink('a', outside), { name: 'a/.wh.secret' }]],
    ['an opaque mark below a symbolic link', () => [symlink('a', outside), { name: 'a/.wh..wh..opq' }]],
    ['a hard link through a symbolic link', () => [symlink('a', outside), hardLink('b', 'a/secret')]],
    ['a hard link by ..', () => [hardLink('b', '../victim/secret')]],
    ['a hard link by an absolute path', () => [hardLink('b', `${outside}/secret`)]],
    ['a hard link to a file of the host', () => [hardLink('b', '/etc/passwd')]],
    ['a hard link to a directory', () => [directory('d'), hardLink('b', 'd')]],
    ['a hard link to a whiteout', () => [{ name: '.wh.x' }, hardLink('b', 'x')]],
    ['a hard link to what comes later', () => [hardLink('b', 'x'), { name: 'x' }]],
    ['a hard link to what it replaces', () => [directory('a'), { name: 'a/b' }, hardLink('a', 'a/b')]],
    ['a hard link below a symbolic link', () => [{ name: 'x' }, symlink('a', outside), hardLink('a/new', 'x')]],
    ['a name with ..', () => [{ name: '../victim/new' }]],
    ['a name with .. in the middle', () => [directory('a'), { name: 'a/../../victim/new' }]],
    ['a name with a sibling of the same prefix', () => [{ name: '../layer-evil/new' }]],
    ['a link target with ..', () => [{ name: 'x' }, hardLink('b', 'a/../x')]],
    ['a PAX name with ..', () => [{ name: 'x', pax: [['path', '../x']] }]],
    ['a long name with ..', () => [{ name: 'x', longName: '../x' }]],
    ['a whiteout of the parent', () => [directory('a'), { name: 'a/.wh...' }]],
    ['a whiteout of the directory itself', () => [directory('a'), { name: 'a/.wh..' }]],
    ['a whiteout of nothing', () => [{ name: '.wh.' }]],
    ['an entry below a whiteout marker', () => [{ name: '.wh.a/x' }]],
    ['a file below a file', () => [{ name: 'a' }, { name: 'a/x' }]],
    ['a file below a device', () => [{ name: 'a', type: '3', major: 1, minor: 3 }, { name: 'a/x' }]],
  ])('%s', async (_, blocks) => {
    const details = await refused(tar(...blocks()), 'ERR_LAYER_INVALID')
    expect(details).toMatchObject({ offset: expect.any(Number) })
    expect(treeFacts(outside)).toEqual(before)
  })

  test('a directory over a symbolic link replaces the link and changes nothing behind it', async () => {
    const layer = await bench.unpack(tar(symlink('a', join(outside, 'closed')), directory('a', { uid: 9 })))
    expect(treeFacts(layer.fs).get('a')).toMatchObject({ type: '40000', mode: '777', uid: 9 })
    expect(treeFacts(outside)).toEqual(before)
    rmSync(layer.directory, { recursive: true })
  })

  test('a file over a symbolic or hard link writes to neither', async () => {
    const layer = await bench.unpack(
      tar(
        symlink('a', join(outside, 'secret')),
        { name: 'a', content: 'new', mode: 0o777 },
        { name: 'x', content: 'x' },
        hardLink('y', 'x'),
        { name: 'y', content: 'y' },
      ),
    )
    const facts = treeFacts(layer.fs)
    expect([facts.get('a')?.content, facts.get('x')?.content, facts.get('y')?.content]).toEqual(['new', 'x', 'y'])
    expect(treeFacts(outside)).toEqual(before)
    rmSync(layer.directory, { recursive: true })
  })

  test('attributes of a link are set on the link, not on its target', async () => {
    const layer = await bench.unpack(tar({ ...symlink('a', join(outside, 'closed')), mode: 0o777, uid: 9, mtime: 5 }, hardLink('b', 'a')))
    expect(treeFacts(layer.fs).get('a')).toMatchObject({ type: '120000', uid: 0 })
    expect(treeFacts(outside)).toEqual(before)
    rmSync(layer.directory, { recursive: true })
  })

  test.each([
    ['a symbolic link', symlink('./', '/etc')],
    ['a file', { name: './', content: 'x' }],
    ['a hard link', hardLink('.', 'x')],
    ['a device', { name: '/', type: '3', major: 1, minor: 3 }],
  ])('the root as %s (CVE-2021-29136)', async (_, block) => {
    await refused(tar(block), 'ERR_LAYER_INVALID')
  })

  test('backslashes and drive letters are ordinary characters', async () => {
    const layer = await bench.unpack(tar({ name: '..\\x' }, { name: 'C:\\y' }, { name: 'C:/z' }))
    expect(treeNames(layer.fs)).toEqual(['..\\x', 'C:', 'C:/z', 'C:\\y'])
    rmSync(layer.directory, { recursive: true })
  })

  // Other file systems would take them for one.
  test('names that look alike are different files (CVE-2026-23950)', async () => {
    const names = ['ss', 'ß', 'é', 'e\u0301', 'SS']
    const layer = await bench.unpack(tar(...names.map((name) => ({ name, content: name }))))
    const facts = treeFacts(layer.fs)
    for (const name of names) expect(facts.get(Buffer.from(name).toString('latin1'))?.content).toBe(Buffer.from(name).toString('latin1'))
    rmSync(layer.directory, { recursive: true })
  })
})

describe('names without end or meaning', () => {
  test.each([
    ['10 000 components', 'a/'.repeat(10_000)],
    ['1500 components', 'a/'.repeat(1500)],
    ['5000 bytes', 'a'.repeat(5000)],
    ['one component of 300 bytes', 'a'.repeat(300)],
  ])('a name of %s (CVE-2024-28863)', async (_, name) => {
    const started = performance.now()
    await refused(tar({ name: 'x', pax: [['path', name]] }), 'ERR_LAYER_INVALID')
    expect(performance.now() - started).toBeLessThan(2000)
  })

  test.each<[string, Buffer]>([
    ['an empty name', tar({ name: '' })],
    ['a NUL in a PAX name', tar({ name: 'x', pax: [['path', 'a\0b']] })],
    ['a NUL in a PAX link target', tar({ name: 'x', type: '2', linkName: 'y', pax: [['linkpath', 'a\0b']] })],
    ['a symbolic link to nothing', tar(symlink('x', ''))],
    ['an entry type that is not known', tar({ name: 'x', type: 'Z' })],
    ['a multi-volume entry', tar({ name: 'x', type: 'M', magic: GNU })],
  ])('%s', async (_, blob) => {
    await refused(blob, 'ERR_LAYER_INVALID')
  })

  test('a name is shown in errors without its control characters', async () => {
    const details = await refused(tar({ name: '../\u001b[31m\n\u202e' }), 'ERR_LAYER_INVALID')
    expect(details.entry).toBe('../\\x1b[31m\\x0a\\u{202e}')
  })
})

describe('sizes (CVE-2017-14992)', () => {
  test.each<[string, Buffer]>([
    ['2^62 in base-256', tar({ name: 'x', size: base256(1n << 62n, 12), magic: GNU })],
    ['2^90 in base-256', tar({ name: 'x', size: base256(1n << 90n, 12), magic: GNU })],
    ['a negative number', tar({ name: 'x', size: base256(-1n, 12), magic: GNU })],
    ['no number', tar({ name: 'x', size: Buffer.from('12345678xyz\0') })],
    ['2^62 in PAX', tar({ name: 'x', pax: [['size', String(1n << 62n)]] })],
    ['a negative number in PAX', tar({ name: 'x', pax: [['size', '-1']] })],
    ['a PAX header of 2 MiB', tarMember({ name: 'x', type: 'x', size: 2 * 1024 * 1024 })],
    ['a long name of 1 GiB', tarMember({ name: 'x', type: 'L', magic: GNU, size: 1024 ** 3 })],
    ['a global header of 2 MiB', tarMember({ name: 'x', type: 'g', size: 2 * 1024 * 1024 })],
    ['an owner beyond 32 bits', tar({ name: 'x', pax: [['uid', '4294967296']] })],
    ['an owner that means "leave as it is"', tar({ name: 'x', pax: [['gid', '4294967295']] })],
  ])('%s', async (_, blob) => {
    await refused(blob, 'ERR_LAYER_INVALID')
  })

  test('an entry larger than the limit is refused by its header, before its content comes', async () => {
    await refused(tarMember({ name: 'x', size: base256(1n << 40n, 12), magic: GNU }), 'ERR_LAYER_TOO_LARGE')
    await refused(tar({ name: 'x', content: Buffer.alloc(5000) }), 'ERR_LAYER_TOO_LARGE', { limits: { maxBytes: 4096 } })
  })

  test('a sparse bomb counts with its holes', async () => {
    const bomb = tar({
      name: 'x',
      pax: [
        ['GNU.sparse.size', String(2 ** 42)],
        ['GNU.sparse.numblocks', '0'],
        ['GNU.sparse.map', ''],
      ],
    })
    await refused(bomb, 'ERR_LAYER_TOO_LARGE')
  })

  test('a decompression bomb stops at the limit', async () => {
    const zeros = Buffer.alloc(64 * 1024 * 1024)
    const limits = { maxBytes: 1024 * 1024 }
    await refused(gzipSync(Buffer.concat([tarMember({ name: 'x', content: Buffer.alloc(512) }), zeros])), 'ERR_LAYER_TOO_LARGE', { limits })
    await refused(zstdCompressSync(Buffer.concat([tarMember({ name: 'x', content: Buffer.alloc(512) }), zeros])), 'ERR_LAYER_TOO_LARGE', {
      limits,
    })
  })

  test('more entries than the limit', async () => {
    await refused(tar({ name: 'a' }, { name: 'b' }, { name: 'c' }), 'ERR_LAYER_TOO_LARGE', { limits: { maxEntries: 2 } })
  })

  test.each<[string, TarBlock]>([
    [
      'out of order',
      {
        name: 'x',
        content: 'ab',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '5,1,0,1'],
        ],
      },
    ],
    [
      'overlapping',
      {
        name: 'x',
        content: 'abcd',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '0,2,1,2'],
        ],
      },
    ],
    [
      'beyond the file',
      {
        name: 'x',
        content: 'ab',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '9,2'],
        ],
      },
    ],
    [
      'not of the payload',
      {
        name: 'x',
        content: 'ab',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '0,1'],
        ],
      },
    ],
    [
      'odd',
      {
        name: 'x',
        content: 'ab',
        pax: [
          ['GNU.sparse.size', '10'],
          ['GNU.sparse.map', '0'],
        ],
      },
    ],
    [
      'of another version',
      {
        name: 'x',
        pax: [
          ['GNU.sparse.major', '2'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '1'],
        ],
      },
    ],
    [
      'longer than its entry',
      {
        name: 'x',
        content: Buffer.from('9\n'.padEnd(512, '1\n')),
        pax: [
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '9'],
        ],
      },
    ],
    [
      'of negative numbers',
      {
        name: 'x',
        content: 'a',
        type: 'S',
        magic: GNU,
        overlay: [
          [386, base256(-1n, 12)],
          [398, base256(1n, 12)],
          [483, '00000000012\0'],
        ],
      },
    ],
  ])('a sparse map that is %s', async (_, block) => {
    await refused(tar(block), 'ERR_LAYER_INVALID')
  })
})

describe('damaged archives', () => {
  const member = tarMember({ name: 'x', content: 'x'.repeat(1000) })
  test.each<[string, Buffer]>([
    ['cut in a header', member.subarray(0, 300)],
    ['cut in content', member.subarray(0, 900)],
    ['cut after a PAX header', paxMember('x', [['path', 'y']])],
    ['end blocks after a PAX header', Buffer.concat([paxMember('x', [['path', 'y']]), Buffer.alloc(1024)])],
    ['a wrong checksum', tar({ name: 'x', badChecksum: true })],
    ['no tar at all', Buffer.alloc(2048, 'x')],
    ['data after the end blocks', Buffer.concat([tar({ name: 'x' }), Buffer.from('y')])],
    ['a second tar after the end blocks', Buffer.concat([tar({ name: 'x' }), tar({ name: 'y' })])],
    ['data after one end block', Buffer.concat([member, Buffer.alloc(512), member])],
    ['a PAX record that is too long', tarMember({ name: 'x', type: 'x', content: '99 a=b\n' })],
    ['a PAX record without a length', tarMember({ name: 'x', type: 'x', content: 'a=b\n' })],
    ['a PAX record without an end', tarMember({ name: 'x', type: 'x', content: '6 a=bc' })],
    ['a PAX record without a key', tarMember({ name: 'x', type: 'x', content: '5 =b\n' })],
    ['bytes after the PAX records', tarMember({ name: 'x', type: 'x', content: Buffer.concat([paxRecord('a', 'b'), Buffer.alloc(10)]) })],
  ])('%s', async (_, blob) => {
    await refused(blob, 'ERR_LAYER_INVALID')
  })

  const gzip = gzipSync(SMALL_TAR)
  const zstd = zstdCompressSync(SMALL_TAR)
  const broken = (bytes: Buffer, at: number) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.from([(bytes[at] ?? 0) ^ 0xff]), bytes.subarray(at + 1)])
  test.each<[string, Buffer]>([
    ['gzip that is cut', gzip.subarray(0, -20)],
    ['gzip without its checksum', gzip.subarray(0, -4)],
    ['gzip with a wrong checksum', broken(gzip, gzip.length - 6)],
    ['gzip of damaged data', broken(gzip, 40)],
    ['garbage after gzip', Buffer.concat([gzip, Buffer.from('garbage')])],
    ['garbage after gzip and zeros', Buffer.concat([gzip, Buffer.alloc(100), Buffer.from('garbage')])],
    ['a second gzip after zeros', Buffer.concat([gzip, Buffer.alloc(100), gzip])],
    ['zstd that is cut', zstd.subarray(0, -3)],
    ['zstd that is cut in a header', zstd.subarray(0, 7)],
    ['garbage after zstd', Buffer.concat([zstd, Buffer.from('garbage!')])],
    ['zeros after zstd', Buffer.concat([zstd, Buffer.alloc(10)])],
    ['a skippable frame that is cut', Buffer.concat([zstd, Buffer.from([0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1])])],
    [
      'zstd of damaged data',
      broken(zstdCompressSync(Buffer.concat([SMALL_TAR, Buffer.from('abcdefghijklmnopqrstuvwxyz'.repeat(30))])), 30),
    ],
  ])('%s (CVE-2021-20291)', async (_, blob) => {
    await refused(blob, 'ERR_COMPRESSION_INVALID')
  })

  test.each<[string, Buffer]>([
    ['xz', Buffer.from('fd377a585a000004e6d6b446', 'hex')],
    ['bzip2', Buffer.from('425a683931415926', 'hex')],
  ])('%s is refused by name, and no program is run for it (CVE-2014-9357, CVE-2021-20291)', async (name, blob) => {
    expect(await refused(blob, 'ERR_COMPRESSION_UNSUPPORTED')).toMatchObject({ compression: name })
  })
})

describe('content that is not what was promised', () => {
  const blob = gzipSync(SMALL_TAR)
  const expected = { digest: digestOf(blob), size: blob.length }
  const other = digestOf('other')

  test('another blob', async () => {
    expect(await refused(blob, 'ERR_DIGEST_MISMATCH', { blob: { ...expected, digest: other } })).toMatchObject({
      expected: other,
      actual: expected.digest,
    })
    await refused(SMALL_TAR, 'ERR_DIGEST_MISMATCH', { blob: { digest: other, size: SMALL_TAR.length } })
  })

  test('another tar in the right blob', async () => {
    await refused(blob, 'ERR_DIGEST_MISMATCH', { blob: expected, diffId: other })
  })

  test('a blob that is too short is called that, and not damaged', async () => {
    await refused(blob.subarray(0, -5), 'ERR_SIZE_MISMATCH', { blob: expected })
    await refused(SMALL_TAR.subarray(0, 700), 'ERR_SIZE_MISMATCH', { blob: { digest: other, size: SMALL_TAR.length } })
  })

  test('a blob that is too long', async () => {
    await refused(Buffer.concat([blob, blob]), 'ERR_SIZE_MISMATCH', { blob: expected })
  })

  const flipped = (bytes: Buffer, at: number) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.from([~(bytes[at] ?? 0) & 0xff]), bytes.subarray(at + 1)])
  const large = tar(...Array.from({ length: 5 }, (_, index) => ({ name: `f${index}`, content: randomBytes(700_000) })))
  const packed = { gzip: gzipSync(large), zstd: zstdCompressSync(large), tar: large, small: SMALL_TAR, smallGzip: blob }
  test.each<[string, Buffer, Buffer, string]>([
    ['a tar with a damaged header', packed.tar, flipped(packed.tar, 700_000 + 1024 + 3), 'ERR_LAYER_INVALID'],
    ['a tar with a damaged first header', packed.tar, flipped(packed.tar, 3), 'ERR_LAYER_INVALID'],
    ['a small tar with a damaged header', packed.small, flipped(packed.small, 3), 'ERR_LAYER_INVALID'],
    ['gzip that is damaged early', packed.gzip, flipped(packed.gzip, 12), 'ERR_COMPRESSION_INVALID'],
    ['gzip that is damaged in the middle', packed.gzip, flipped(packed.gzip, packed.gzip.length >> 1), 'ERR_COMPRESSION_INVALID'],
    ['a small gzip that is damaged', packed.smallGzip, flipped(packed.smallGzip, 15), 'ERR_COMPRESSION_INVALID'],
    ['gzip that is no gzip any more', packed.gzip, flipped(packed.gzip, 0), 'ERR_LAYER_INVALID'],
    ['zstd that is damaged', packed.zstd, flipped(packed.zstd, 6), 'ERR_COMPRESSION_INVALID'],
    ['an error page', packed.small, Buffer.from('<html>'.padEnd(packed.small.length, ' sorry')), 'ERR_LAYER_INVALID'],
  ])('%s is another blob, and damaged only where the digest is right', async (_, right, wrong, damage) => {
    const promised = { digest: digestOf(right), size: right.length }
    const error: unknown = await bench.unpack(wrong, { blob: promised }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      details: { expected: promised.digest, actual: digestOf(wrong) },
      cause: { code: damage },
    })
    await refused(wrong, damage, { blob: { digest: digestOf(wrong), size: wrong.length } })
    await refused(wrong, damage)
    const unnamed = await bench.unpack(wrong, { diffId: digestOf(right) }).catch((reason: unknown) => reason)
    expect(unnamed).toMatchObject({ code: damage === 'ERR_LAYER_INVALID' ? 'ERR_DIGEST_MISMATCH' : damage })
    const longer = Buffer.concat([wrong, Buffer.alloc(512)])
    await refused(longer, 'ERR_SIZE_MISMATCH', { blob: promised })
  })

  test('what is too large or not supported is not read to its end', async () => {
    const promised = { digest: other, size: 1 << 20 }
    await refused(tarMember({ name: 'x', size: base256(1n << 40n, 12), magic: GNU }), 'ERR_LAYER_TOO_LARGE', { blob: promised })
    await refused(Buffer.from('fd377a585a000004e6d6b446', 'hex'), 'ERR_COMPRESSION_UNSUPPORTED', { blob: promised })
  })
})

describe('forged bookkeeping', () => {
  test("overlay's own attributes do not reach the disk", async () => {
    const names = [
      'trusted.overlay.opaque',
      'trusted.overlay.redirect',
      'trusted.overlay.metacopy',
      'trusted.anything',
      'user.overlay.opaque',
      'user.overlay.whiteout',
      'user.containers.override_stat',
    ]
    const pax = names.map((name) => [`SCHILY.xattr.${name}`, 'y'] as const)
    const libarchive = names.map((name) => [`LIBARCHIVE.xattr.${name.replace('overlay', '%6Fverlay')}`, 'eQ=='] as const)
    const kept = ['SCHILY.xattr.user.kept', 'y'] as const
    const layer = await bench.unpack(
      tar(
        directory('d', { pax: [...pax, kept] }),
        { name: 'd/x', pax: [...pax, ...libarchive, kept] },
        hardLink('d/y', 'd/x'),
        { ...symlink('l', 'x'), pax },
        directory('./', { pax }),
      ),
    )
    for (const [name, { xattrs }] of treeFacts(layer.fs))
      expect([name, Object.keys(xattrs)]).toEqual([name, name.startsWith('d') ? ['user.kept'] : []])
    rmSync(layer.directory, { recursive: true })
  })
})

describe('a stack of layers', () => {
  test('learns nothing of directories of the host that a link of a lower layer leads to', async () => {
    for (const target of [outside, '../'.repeat(20) + outside.slice(1)]) {
      const lower = await bench.unpack(tar(symlink('a', target), directory('b'), symlink('b/c', target)))
      const upper = await bench.unpack(tar({ name: 'a/closed/x' }, { name: 'b/c/closed/x' }))
      const corrections = { staged: join(bench.path, 'staged'), target: join(bench.path, 'corrections') }
      sealLayers({ layers: [lower.directory, upper.directory], corrections })
      const corrected = treeFacts(join(corrections.target, 'fs'))
      expect([...corrected.keys()]).toEqual(['.', 'b'])
      expect(corrected.get('b')).toMatchObject({ mode: '777' })
      for (const path of [lower.directory, upper.directory, corrections.target]) rmSync(path, { recursive: true })
    }
    expect(treeFacts(outside)).toEqual(before)
  })
})

describe('failures leave nothing', () => {
  test('on a full disk', async () => {
    const small = join(bench.path, 'small-disk')
    mkdirSync(small)
    mount({ source: 'tmpfs', target: small, type: 'tmpfs', data: 'size=256k' })
    try {
      const blob = tar({ name: 'a', content: Buffer.alloc(100_000) }, { name: 'b', content: Buffer.alloc(400_000) })
      const details = await refused(blob, 'ERR_NO_SPACE', { directory: join(small, 'layer') })
      expect(details).toMatchObject({ entry: 'b', systemCode: 'ENOSPC' })
      expect(readdirSync(small)).toEqual([])
    } finally {
      umount2(small)
    }
  })

  test('not even directories of mode 0', async () => {
    await refused(
      tar(directory('a', { mode: 0 }), directory('a/b', { mode: 0 }), { name: 'a/b/x', mode: 0 }, { name: '../x' }),
      'ERR_LAYER_INVALID',
    )
  })

  test('and do not touch a directory that was a link', async () => {
    const link = join(bench.path, 'link')
    symlinkSync(outside, link)
    await expect(bench.unpack(SMALL_TAR, { directory: link })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(existsSync(join(outside, 'secret'))).toBe(true)
  })
})

describe('a legal but odd layer unpacks and is re-assembled byte for byte:', () => {
  test.each(Object.entries(ODD_LAYERS))('%s', async (_, bytes) => {
    const layer = await bench.unpack(bytes)
    expect(layer.size).toBe(bytes.length)
    expect((await bench.tarOf(layer.directory)).equals(bytes)).toBe(true)
  })

  test.each(Object.entries(ODD_COMPRESSIONS))('%s', async (_, blob) => {
    const layer = await bench.unpack(blob)
    expect(treeNames(layer.fs)).toEqual(['a', 'a/x'])
    expect((await bench.tarOf(layer.directory)).equals(SMALL_TAR)).toBe(true)
  })

  test("Docker's 32-byte empty layer", async () => {
    const layer = await bench.unpack(EMPTY_DOCKER_LAYER)
    expect(layer).toMatchObject({
      blobDigest: 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4',
      entries: 0,
      size: 1024,
    })
  })
})
