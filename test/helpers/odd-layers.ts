import { gzipSync, zstdCompressSync } from 'node:zlib'
import { base256, GNU, paxMember, type TarBlock, tar, tarMember, USTAR, V7 } from './tar-builder.ts'

const directory = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const file = (name: string, content = `content of ${name}`, more: TarBlock = {}): TarBlock => ({ name, content, ...more })
const long = (length: number): string => `${'d/'.repeat(Math.floor(length / 2))}f`

/** The old GNU sparse map of a 100000-byte file with data at 0 and 65536. */
const OLD_SPARSE_FIELDS: TarBlock['overlay'] = [
  [386, octal12(0)],
  [398, octal12(512)],
  [410, octal12(65_536)],
  [422, octal12(512)],
  [483, octal12(100_000)],
]

function octal12(value: number): string {
  return `${value.toString(8).padStart(11, '0')}\0`
}

function extendedOldSparse(): Buffer {
  const extension = Buffer.alloc(512)
  extension.write(octal12(65_536), 0)
  extension.write(octal12(512), 12)
  const head = tarMember({
    name: 'sparse',
    type: 'S',
    magic: GNU,
    size: 1024,
    overlay: [
      [386, octal12(0)],
      [398, octal12(512)],
      [482, '\x01'],
      [483, octal12(100_000)],
    ],
  })
  return Buffer.concat([head, extension, Buffer.alloc(512, 'a'), Buffer.alloc(512, 'b')])
}

const SPARSE_DATA = Buffer.concat([Buffer.alloc(512, 'a'), Buffer.alloc(512, 'b')])
const SPARSE_TEXT_MAP = Buffer.from('2\n0\n512\n65536\n512\n'.padEnd(512, '\0'))

/**
 * Legal but odd layers, as seen in the wild, by what is odd about them. Every one must unpack, and come
 * out of re-assembly byte for byte.
 */
export const ODD_LAYERS: Readonly<Record<string, Buffer>> = {
  'absolute symbolic links': tar(
    directory('a/'),
    { name: 'a/l', type: '2', linkName: '/etc/passwd' },
    { name: 'fd', type: '2', linkName: '/proc/self/fd' },
  ),
  'absolute hard links': tar(directory('a/'), file('a/x'), { name: 'a/y', type: '1', linkName: '/a/x' }),
  'names with a leading slash': tar(directory('/a/'), file('/a/x')),
  'missing parent directories': tar(file('a/b/c/x'), file('a/y')),
  'a ./ prefix and a root entry': tar(directory('./', { mode: 0o711 }), directory('./a/'), file('./a/x')),
  'a ./ prefix without a root entry': tar(directory('./a/'), file('./a/x')),
  'doubled and trailing slashes': tar(directory('a//'), file('a//x'), directory('a/./b/')),
  'a whiteout before its sibling': tar(directory('a/'), file('a/.wh.x', ''), file('a/y')),
  'a whiteout after its sibling': tar(directory('a/'), file('a/y'), file('a/.wh.x', '')),
  'a whiteout before an entry of the same name': tar(file('.wh.x', ''), file('x')),
  'a whiteout after an entry of the same name': tar(file('x'), file('.wh.x', '')),
  'a whiteout before a directory of the same name': tar(file('.wh.a', ''), directory('a/'), file('a/x')),
  'a whiteout after a directory of the same name': tar(directory('a/'), file('a/x'), file('.wh.a', '')),
  'a whiteout below a whiteout': tar(file('.wh.a', ''), file('a/.wh.b', '')),
  'a whiteout with content': tar(file('.wh.x', 'nobody reads this')),
  'an opaque mark before children': tar(directory('a/'), file('a/.wh..wh..opq', ''), file('a/x')),
  'an opaque mark after children': tar(directory('a/'), file('a/x'), file('a/.wh..wh..opq', '')),
  'an opaque mark without its directory': tar(file('a/.wh..wh..opq', '')),
  'only whiteouts': tar(file('.wh.a', ''), file('b/.wh.c', '')),
  'AUFS bookkeeping': tar(directory('.wh..wh.plnk/'), file('.wh..wh.plnk/12.34', 'x'), file('.wh..wh.aufs', ''), file('x')),
  'a file and then a directory of one name': tar(file('a'), directory('a/'), file('a/x')),
  'a directory and then a file of one name': tar(directory('a/'), file('a/x'), directory('a/b/'), file('a/b/y'), file('a')),
  'duplicate files': tar(file('x', 'first'), file('x', 'second'), file('x', 'third')),
  'a duplicate of a hard-linked file': tar(file('x', 'first'), { name: 'y', type: '1', linkName: 'x' }, file('x', 'second')),
  'a hard link to itself': tar(file('x'), { name: 'x', type: '1', linkName: './x' }),
  'a hard link to a symbolic link': tar({ name: 'l', type: '2', linkName: 'x' }, { name: 'm', type: '1', linkName: 'l' }),
  'a hard link with a size': tar(file('x'), { name: 'y', type: '1', linkName: 'x', size: 14 }),
  'a directory with a size': tar(directory('a/', { size: 4096 }), file('a/x')),
  'names that are not UTF-8': tar(
    directory('d/'),
    { name: Buffer.from([0x64, 0x2f, 0xff, 0xfe]), content: 'latin' },
    { name: 'd/l', type: '2', linkName: Buffer.from([0xe9]) },
  ),
  'a PAX name of 300 bytes': tar({ name: 'short', content: 'x', pax: [['path', long(300)]] }),
  'a PAX name that is not UTF-8': tar({
    name: 'short',
    content: 'x',
    pax: [
      ['hdrcharset', 'BINARY'],
      ['path', Buffer.from([0x61, 0xff])],
    ],
  }),
  'GNU long name and link': tar(
    { name: 'short', content: 'x', longName: long(300), magic: GNU },
    { name: 'l', type: '2', longLink: long(200), magic: GNU },
  ),
  'a ustar prefix': tar({ name: 'x', prefix: 'a/b', content: 'x' }),
  'a V7 header': tar({ name: 'd/', type: '\0', magic: V7 }, { name: 'd/x', type: '\0', magic: V7, content: 'x' }),
  'a star header': tar({
    name: 'x',
    prefix: 'a',
    content: 'x',
    overlay: [
      [476, octal12(1)],
      [508, 'tar\0'],
    ],
  }),
  'a prefix under GNU magic (old Go)': tar({ name: 'x', prefix: 'a/very/long/prefix', magic: GNU, content: 'x' }),
  'numbers with blanks': tar({ name: 'x', mode: 0o644, uid: Buffer.from('   123 \0'), gid: Buffer.from('0000000 '), content: 'x' }),
  'base-256 owner': tar({ name: 'x', uid: base256(3_000_000n, 8), gid: base256(4_000_000_000n, 8), content: 'x', magic: GNU }),
  'PAX owner': tar({
    name: 'x',
    content: 'x',
    pax: [
      ['uid', '3000000'],
      ['gid', '4000000000'],
    ],
  }),
  'PAX size': tar({ name: 'x', size: 0, pax: [['size', '5']] }, Buffer.from('hello'.padEnd(512, '\0'))),
  'a negative time': tar(
    { name: 'x', mtime: base256(-86_400n, 12), content: 'x', magic: GNU },
    { name: 'y', content: 'y', pax: [['mtime', '-1.25']] },
  ),
  'a time in 2262 and beyond': tar(
    { name: 'x', pax: [['mtime', '9223372036.854775807']] },
    { name: 'y', pax: [['mtime', '99999999999999999999']] },
  ),
  'nanoseconds and access time': tar({
    name: 'x',
    pax: [
      ['mtime', '1700000000.123456789'],
      ['atime', '1800000000.5'],
      ['ctime', '1.1'],
    ],
  }),
  'file capabilities': tar({ name: 'ping', mode: 0o755, pax: [['SCHILY.xattr.security.capability', CAPABILITY_V2()]] }),
  ACLs: tar(
    directory('a/', { pax: [['SCHILY.xattr.system.posix_acl_default', ACL()]] }),
    file('a/x', 'x', { mode: 0o640, pax: [['SCHILY.xattr.system.posix_acl_access', ACL()]] }),
  ),
  'libarchive attributes': tar({ name: 'x', pax: [['LIBARCHIVE.xattr.user.a%3Db', Buffer.from([0xff, 0]).toString('base64')]] }),
  'SELinux labels': tar({ name: 'x', pax: [['SCHILY.xattr.security.selinux', 'system_u:object_r:bin_t:s0\0']] }),
  'a global PAX header': tar(
    paxMember('g', [
      ['comment', '0123456789abcdef'],
      ['path', 'not-for-everyone'],
    ]),
    file('x'),
  ),
  'a GNU volume label': tar({ name: 'label', type: 'V', magic: GNU, size: 0 }, file('x')),
  'FIFOs and devices': tar(
    { name: 'p', type: '6', mode: 0o622 },
    { name: 'null', type: '3', mode: 0o666, major: 1, minor: 3 },
    { name: 'sda', type: '4', mode: 0o660, major: 8, minor: 0, gid: 6 },
  ),
  'a contiguous file': tar({ name: 'x', type: '7', content: 'x' }),
  'an old GNU sparse file': tar({ name: 'sparse', type: 'S', magic: GNU, content: SPARSE_DATA, overlay: OLD_SPARSE_FIELDS }),
  'an old GNU sparse file with extension blocks': tar(extendedOldSparse()),
  'a PAX 0.0 sparse file': tar({
    name: 'sparse',
    content: SPARSE_DATA,
    pax: [
      ['GNU.sparse.size', '100000'],
      ['GNU.sparse.numblocks', '2'],
      ['GNU.sparse.offset', '0'],
      ['GNU.sparse.numbytes', '512'],
      ['GNU.sparse.offset', '65536'],
      ['GNU.sparse.numbytes', '512'],
    ],
  }),
  'a PAX 0.1 sparse file': tar({
    name: 'GNUSparseFile.1/sparse',
    content: SPARSE_DATA,
    pax: [
      ['GNU.sparse.size', '100000'],
      ['GNU.sparse.numblocks', '2'],
      ['GNU.sparse.name', 'sparse'],
      ['GNU.sparse.map', '0,512,65536,512'],
    ],
  }),
  'a PAX 1.0 sparse file': tar({
    name: 'GNUSparseFile.1/sparse',
    content: Buffer.concat([SPARSE_TEXT_MAP, SPARSE_DATA]),
    pax: [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 'sparse'],
      ['GNU.sparse.realsize', '100000'],
    ],
  }),
  'a file that is one hole': tar({
    name: 'hole',
    pax: [
      ['GNU.sparse.size', '1048576'],
      ['GNU.sparse.numblocks', '0'],
      ['GNU.sparse.map', ''],
    ],
  }),
  'a layer without entries': Buffer.alloc(1024),
  'no bytes at all': Buffer.alloc(0),
  'no end blocks': tarMember(file('x')),
  'no padding after the last file (umoci)': tarMember(file('x', 'inserted')).subarray(0, 520),
  'a part of the padding': tarMember(file('x', 'inserted')).subarray(0, 900),
  'one end block': Buffer.concat([tarMember(file('x')), Buffer.alloc(512)]),
  'zeros beyond the end blocks': Buffer.concat([tar(file('x')), Buffer.alloc(9 * 1024 + 17)]),
  'odd type bits in the mode': tar({ name: 'x', mode: 0o104755, content: 'x', magic: USTAR }),
}

/** Odd ways to compress the same small tar. */
export const SMALL_TAR: Buffer = tar(directory('a/'), file('a/x', 'x'.repeat(2000)))
const [FIRST, SECOND] = [SMALL_TAR.subarray(0, 700), SMALL_TAR.subarray(700)]
const SKIPPABLE = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from('TOC..')])

export const ODD_COMPRESSIONS: Readonly<Record<string, Buffer>> = {
  'no compression': SMALL_TAR,
  gzip: gzipSync(SMALL_TAR),
  'gzip without compression': gzipSync(SMALL_TAR, { level: 0 }),
  'several gzip members': Buffer.concat([gzipSync(FIRST), gzipSync(''), gzipSync(SECOND)]),
  'zeros after gzip': Buffer.concat([gzipSync(SMALL_TAR), Buffer.alloc(300)]),
  zstd: zstdCompressSync(SMALL_TAR),
  'several zstd frames': Buffer.concat([zstdCompressSync(FIRST), zstdCompressSync(''), zstdCompressSync(SECOND)]),
  'zstd:chunked': Buffer.concat([zstdCompressSync(FIRST), SKIPPABLE, zstdCompressSync(SECOND), SKIPPABLE, SKIPPABLE]),
  'zstd after a skippable frame': Buffer.concat([SKIPPABLE, zstdCompressSync(SMALL_TAR)]),
}

/** The 32-byte layer of Docker's early images: gzip of an empty tar. */
export const EMPTY_DOCKER_LAYER: Buffer = Buffer.from('1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000', 'hex')

function CAPABILITY_V2(): Buffer {
  // cap_setuid, cap_setgid, cap_net_raw, cap_sys_ptrace: has bytes that are no UTF-8.
  return Buffer.from('01000002c020080000000000000000000000000000', 'hex').subarray(0, 20)
}

function ACL(): Buffer {
  const entry = (tag: number, permissions: number, id: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt16LE(tag, 0)
    bytes.writeUInt16LE(permissions, 2)
    bytes.writeUInt32LE(id, 4)
    return bytes
  }
  const none = 0xffffffff
  return Buffer.concat([
    Buffer.from([2, 0, 0, 0]),
    entry(1, 6, none),
    entry(2, 4, 1000),
    entry(4, 4, none),
    entry(0x10, 4, none),
    entry(0x20, 0, none),
  ])
}
