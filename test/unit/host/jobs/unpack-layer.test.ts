import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { readImpliedDirectories } from '../../../../src/archive/layer-files.ts'
import { unpackLayer } from '../../../../src/host/jobs/unpack-layer.ts'
import { lgetxattr, llistxattr, mount, umount2 } from '../../../../src/host/sys/libc.ts'
import { digestOf } from '../../../../src/spec/digest.ts'
import { layerBench } from '../../../helpers/layers.ts'
import { ODD_LAYERS, SMALL_TAR } from '../../../helpers/odd-layers.ts'
import { type TarBlock, tar } from '../../../helpers/tar-builder.ts'
import { treeFacts, treeNames } from '../../../helpers/tree-listing.ts'

const bench = layerBench()

const directory = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const odd = (name: string) => bench.unpack(ODD_LAYERS[name] as Buffer)
const isWhiteout = (path: string) => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0
const opaque = (path: string, prefix = 'trusted') => lgetxattr(path, `${prefix}.overlay.opaque`)?.toString()

describe('unpackLayer', () => {
  test('tells the digests, sizes and shape of the layer', async () => {
    const blob = gzipSync(SMALL_TAR)
    const layer = await bench.unpack(blob, { blob: { digest: digestOf(blob), size: blob.length }, diffId: digestOf(SMALL_TAR) })
    expect(layer).toMatchObject({
      blobDigest: digestOf(blob),
      blobSize: blob.length,
      diffId: digestOf(SMALL_TAR),
      size: SMALL_TAR.length,
      entries: 2,
      impliedDirectories: 0,
      hasRootEntry: false,
      opaqueRoot: false,
      skippedDevices: 0,
      ignoredXattrs: 0,
    })
    expect(layer.usageBytes).toBeGreaterThan(3 * 4096)
  })

  test('keeps the staging directory to itself', async () => {
    const layer = await bench.unpack(SMALL_TAR)
    expect(statSync(layer.directory).mode & 0o777).toBe(0o700)
    expect(readdirSync(layer.directory).sort()).toEqual(['fs', 'reassembly.zst'])
  })

  test('refuses a directory that is there already and leaves it alone', async () => {
    const path = join(bench.path, 'taken')
    mkdirSync(path)
    writeFileSync(join(path, 'mine'), '')
    await expect(bench.unpack(SMALL_TAR, { directory: path })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(existsSync(join(path, 'mine'))).toBe(true)
  })

  test('reads a blob from a FIFO while it is written', async () => {
    const fifo = join(bench.path, 'fifo')
    execFileSync('mkfifo', [fifo])
    const blob = gzipSync(tar(...Array.from({ length: 50 }, (_, index) => ({ name: `f${index}`, content: Buffer.alloc(50_000, index) }))))
    const whole = join(bench.path, 'whole.gz')
    writeFileSync(whole, blob)
    // As in the application, the writer has its end before the job begins.
    const held = openSync(fifo, constants.O_RDWR)
    const writer = spawn('sh', ['-c', `exec cat ${whole} > ${fifo}`])
    writer.once('exit', () => closeSync(held))
    const layer = await bench.unpack(Buffer.alloc(0), { source: { path: fifo }, blob: { digest: digestOf(blob), size: blob.length } })
    expect(layer.entries).toBe(50)
    if (writer.exitCode === null) await new Promise((resolve) => writer.once('exit', resolve))
  })

  test('reports progress up to the end', async () => {
    const reports: unknown[] = []
    const source = join(bench.path, 'progress')
    writeFileSync(source, SMALL_TAR)
    const input = {
      source: { path: source },
      blob: undefined,
      diffId: undefined,
      directory: join(bench.path, 'progressed'),
      xattrPrefix: 'trusted' as const,
    }
    await unpackLayer(input, { signal: new AbortController().signal, report: (progress) => reports.push(progress) })
    expect(reports.at(-1)).toEqual({ bytes: SMALL_TAR.length, unpackedBytes: SMALL_TAR.length, entries: 2 })
  })

  test('an abort while it waits for bytes rejects with the reason and leaves nothing', async () => {
    const fifo = join(bench.path, 'silent')
    execFileSync('mkfifo', [fifo])
    const abort = new AbortController()
    const reason = new Error('enough')
    // Somebody who may still write: without, the end would have come.
    const writer = openSync(fifo, constants.O_RDWR)
    const running = bench.unpack(Buffer.alloc(0), { source: { path: fifo }, directory: join(bench.path, 'aborted') }, abort.signal)
    setTimeout(() => abort.abort(reason), 50)
    await expect(running).rejects.toBe(reason)
    expect(existsSync(join(bench.path, 'aborted'))).toBe(false)
    closeSync(writer)
  })
})

describe('inside a user namespace', () => {
  const MODULE = new URL('../../../../src/host/jobs/unpack-layer.ts', import.meta.url).href

  /** Runs the job as root of a new user namespace that maps root only. */
  function unpackAsNamespaceRoot(blob: Buffer, name: string): { directory: string; outcome: Record<string, unknown> } {
    const source = join(bench.path, `${name}.blob`)
    const directory = join(bench.path, name)
    writeFileSync(source, blob)
    const input = { source: { path: source }, directory, xattrPrefix: 'user' }
    const program = `
      import { unpackLayer } from ${JSON.stringify(MODULE)}
      const context = { signal: new AbortController().signal, report() {} }
      const outcome = await unpackLayer(${JSON.stringify(input)}, context).catch(({ code, details }) => ({ code, details }))
      console.log(JSON.stringify(outcome))`
    const output = execFileSync('unshare', ['-r', process.execPath, '--input-type=module', '-e', program], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
    return { directory, outcome: JSON.parse(output) as Record<string, unknown> }
  }

  test('whiteouts and opaque marks work, devices are left out and still come back in the tar', async () => {
    const blob = tar(
      { name: '.wh.gone' },
      directory('d/'),
      { name: 'd/.wh..wh..opq' },
      { name: 'null', type: '3', major: 1, minor: 3 },
      { name: 'zero', type: '1', linkName: 'null' },
      { name: 'fifo', type: '6' },
      {
        name: 'x',
        mode: 0o4755,
        content: 'x',
        pax: [['SCHILY.xattr.security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex')]],
      },
    )
    const { directory: path, outcome } = unpackAsNamespaceRoot(blob, 'rootless')
    expect(outcome).toMatchObject({ skippedDevices: 1, ignoredXattrs: 0, entries: 7 })
    expect(treeNames(join(path, 'fs'))).toEqual(['d', 'fifo', 'gone', 'x'])
    expect(isWhiteout(join(path, 'fs/gone'))).toBe(true)
    expect(opaque(join(path, 'fs/d'), 'user')).toBe('y')
    expect((await bench.tarOf(path)).equals(blob)).toBe(true)
  })

  test('an owner that the namespace does not have is named', () => {
    const { directory: path, outcome } = unpackAsNamespaceRoot(tar({ name: 'x', uid: 1234 }), 'unmapped')
    expect(outcome).toMatchObject({ code: 'ERR_ROOTLESS_SETUP', details: { uid: 1234, entry: 'x' } })
    expect(existsSync(path)).toBe(false)
  })
})

describe('attributes', () => {
  test('owner, mode, setuid and times to the nanosecond', async () => {
    const layer = await bench.unpack(
      tar(
        { name: 'su', mode: 0o4755, uid: 3, gid: 4, content: 'x', pax: [['mtime', '1700000000.123456789']] },
        directory('tmp/', { mode: 0o1777, mtime: 1_600_000_000 }),
        { name: 'tmp/x' },
      ),
    )
    const facts = treeFacts(layer.fs)
    expect(facts.get('su')).toMatchObject({ mode: '4755', uid: 3, gid: 4, mtimeNs: 1_700_000_000_123_456_789n })
    expect(facts.get('tmp')).toMatchObject({ mode: '1777', mtimeNs: 1_600_000_000_000_000_000n })
  })

  test('negative times and times beyond the file system are kept as far as it goes', async () => {
    const negative = treeFacts((await odd('a negative time')).fs)
    expect([negative.get('x')?.mtimeNs, negative.get('y')?.mtimeNs]).toEqual([-86_400_000_000_000n, -1_250_000_000n])
    const far = treeFacts((await odd('a time in 2262 and beyond')).fs)
    expect(far.get('x')?.mtimeNs).toBe(9_223_372_036_854_775_807n)
    expect(far.get('y')?.mtimeNs).toBeGreaterThan(15_000_000_000_000_000_000n)
  })

  test('the access time is never before the modification time', async () => {
    const layer = await bench.unpack(
      tar({ name: 'x', pax: [['atime', '1000.5']], mtime: 2000 }, { name: 'y', pax: [['atime', '3000.5']], mtime: 2000 }),
    )
    expect(lstatSync(join(layer.fs, 'x')).atimeMs).toBe(2_000_000)
    expect(lstatSync(join(layer.fs, 'y')).atimeMs).toBe(3_000_500)
  })

  test('binary attributes survive: file capabilities, ACLs', async () => {
    const ping = join((await odd('file capabilities')).fs, 'ping')
    expect(lgetxattr(ping, 'security.capability')?.toString('hex')).toBe('01000002c020080000000000000000000000000000'.slice(0, 40))
    const acl = (await odd('ACLs')).fs
    expect(llistxattr(join(acl, 'a'))).toEqual(['system.posix_acl_default'])
    expect(llistxattr(join(acl, 'a/x'))).toEqual(['system.posix_acl_access'])
  })

  test('a default ACL is not inherited by the children that the layer itself brings', async () => {
    const acl = Buffer.from('0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff', 'hex')
    const layer = await bench.unpack(
      tar(directory('a/', { pax: [['SCHILY.xattr.system.posix_acl_default', acl]] }), { name: 'a/x', mode: 0o646 }, directory('a/d')),
    )
    expect(llistxattr(join(layer.fs, 'a'))).toEqual(['system.posix_acl_default'])
    expect(treeFacts(layer.fs).get('a/x')).toMatchObject({ mode: '646', xattrs: {} })
    expect(treeFacts(layer.fs).get('a/d')).toMatchObject({ mode: '755', xattrs: {} })
  })

  test('a setgid parent does not lend its group to implied directories', async () => {
    const layer = await bench.unpack(tar(directory('s/', { mode: 0o2755, gid: 7 }), { name: 's/implied/x' }))
    expect(treeFacts(layer.fs).get('s/implied')).toMatchObject({ gid: 0, mode: '755' })
  })

  test('the attributes of a hard link are those of its last entry, and capabilities survive it', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
    const layer = await bench.unpack(
      tar(
        { name: 'x', mode: 0o755, pax: [['SCHILY.xattr.security.capability', capability]] },
        { name: 'y', type: '1', linkName: 'x', mode: 0o755 },
        { name: 'z', mode: 0o644 },
        { name: 'w', type: '1', linkName: 'z', mode: 0o600, uid: 5 },
      ),
    )
    const facts = treeFacts(layer.fs)
    expect(facts.get('y')).toMatchObject({ firstName: 'x', links: 2n, xattrs: { 'security.capability': capability.toString('hex') } })
    expect(facts.get('z')).toMatchObject({ mode: '600', uid: 5 })
  })

  test('the root entry sets the attributes of the root', async () => {
    const layer = await odd('a ./ prefix and a root entry')
    expect(layer.hasRootEntry).toBe(true)
    expect(treeFacts(layer.fs).get('.')).toMatchObject({ mode: '711', mtimeNs: 1_700_000_000_000_000_000n })
  })

  test('holes stay holes', async () => {
    const layer = await odd('an old GNU sparse file')
    const { size, blocks } = statSync(join(layer.fs, 'sparse'))
    expect(size).toBe(100_000)
    expect(blocks * 512).toBeLessThan(20_000)
    const hole = await odd('a file that is one hole')
    expect(statSync(join(hole.fs, 'hole'))).toMatchObject({ size: 1_048_576, blocks: 0 })
  })

  test.each([
    'an old GNU sparse file',
    'an old GNU sparse file with extension blocks',
    'a PAX 0.0 sparse file',
    'a PAX 0.1 sparse file',
    'a PAX 1.0 sparse file',
  ])('the data of %s is where it belongs', async (name) => {
    const content = readFileSync(join((await odd(name)).fs, 'sparse'))
    const expected = Buffer.alloc(100_000)
    expected.fill('a', 0, 512).fill('b', 65_536, 66_048)
    expect(content.equals(expected)).toBe(true)
  })
})

describe('whiteouts', () => {
  test('become 0:0 devices, whichever side of their sibling they are on', async () => {
    for (const name of ['a whiteout before its sibling', 'a whiteout after its sibling']) {
      const { fs } = await odd(name)
      expect(treeNames(fs)).toEqual(['a', 'a/x', 'a/y'])
      expect(isWhiteout(join(fs, 'a/x'))).toBe(true)
    }
  })

  test('give way to an entry of the same name in the layer', async () => {
    for (const name of ['a whiteout before an entry of the same name', 'a whiteout after an entry of the same name']) {
      expect(lstatSync(join((await odd(name)).fs, 'x')).isFile()).toBe(true)
    }
  })

  test('make a directory of the same name opaque: what was below it is gone', async () => {
    for (const name of ['a whiteout before a directory of the same name', 'a whiteout after a directory of the same name']) {
      const { fs } = await odd(name)
      expect(opaque(join(fs, 'a'))).toBe('y')
      expect(treeNames(fs)).toEqual(['a', 'a/x'])
    }
  })

  test('below a whiteout say nothing new', async () => {
    const { fs } = await odd('a whiteout below a whiteout')
    expect(treeNames(fs)).toEqual(['a'])
  })

  test('opaque marks become the attribute, in the namespace that was asked for', async () => {
    for (const name of ['an opaque mark before children', 'an opaque mark after children', 'an opaque mark without its directory']) {
      expect(opaque(join((await odd(name)).fs, 'a'))).toBe('y')
    }
    const { fs } = await bench.unpack(ODD_LAYERS['an opaque mark before children'] as Buffer, { xattrPrefix: 'user' })
    expect(opaque(join(fs, 'a'), 'user')).toBe('y')
    expect(opaque(join(fs, 'a'))).toBeUndefined()
  })

  test('an opaque root is told, as overlay does not look at it', async () => {
    expect(await bench.unpack(tar({ name: '.wh..wh..opq' }))).toMatchObject({ opaqueRoot: true })
  })

  test('bookkeeping of AUFS leaves no trace', async () => {
    expect(treeNames((await odd('AUFS bookkeeping')).fs)).toEqual(['x'])
  })
})

test('two layers mounted as overlay show what the image says', async () => {
  const lower = await bench.unpack(
    tar(directory('d/'), { name: 'd/old' }, directory('gone/'), { name: 'gone/x' }, { name: 'file' }, directory('new/'), {
      name: 'new/old',
    }),
  )
  const upper = await bench.unpack(
    tar({ name: 'd/.wh..wh..opq' }, { name: 'd/new' }, { name: '.wh.gone' }, { name: '.wh.file' }, { name: '.wh.new' }, directory('new/'), {
      name: 'new/x',
    }),
  )
  const target = join(bench.path, 'merged')
  mkdirSync(target)
  mount({ source: 'overlay', target, type: 'overlay', data: `lowerdir=${upper.fs}:${lower.fs}` })
  try {
    expect(treeNames(target)).toEqual(['d', 'd/new', 'new', 'new/x'])
  } finally {
    umount2(target)
  }
})

describe('names', () => {
  test('implied directories are listed, but not those that get an entry later', async () => {
    const layer = await bench.unpack(tar({ name: 'a/b/x' }, { name: 'c/x' }, directory('a/')))
    expect(layer.impliedDirectories).toBe(2)
    expect(readImpliedDirectories(layer.directory).map(String)).toEqual(['a/b', 'c'])
    expect(readImpliedDirectories((await bench.unpack(SMALL_TAR)).directory)).toEqual([])
  })

  test('a directory over a directory keeps the children', async () => {
    const layer = await bench.unpack(tar(directory('a/', { mode: 0o700 }), { name: 'a/x' }, directory('a/', { mode: 0o711 })))
    expect(treeFacts(layer.fs).get('a')?.mode).toBe('711')
    expect(treeNames(layer.fs)).toEqual(['a', 'a/x'])
  })

  test('a file replaces a whole directory, and the other way round', async () => {
    expect(treeNames((await odd('a directory and then a file of one name')).fs)).toEqual(['a'])
    expect(treeNames((await odd('a file and then a directory of one name')).fs)).toEqual(['a', 'a/x'])
  })

  test('of duplicates the last wins, also when an earlier one has further names', async () => {
    expect(readFileSync(join((await odd('duplicate files')).fs, 'x'), 'latin1')).toBe('third')
    const { fs } = await odd('a duplicate of a hard-linked file')
    expect([readFileSync(join(fs, 'x'), 'latin1'), readFileSync(join(fs, 'y'), 'latin1')]).toEqual(['second', 'first'])
  })

  test('that are not UTF-8 stay the bytes they are', async () => {
    expect(treeNames((await odd('names that are not UTF-8')).fs)).toEqual(['d', 'd/l', 'd/\u00ff\u00fe'])
    expect(treeFacts((await odd('names that are not UTF-8')).fs).get('d/l')?.content).toBe('\u00e9')
  })

  test('an absolute hard link means the root of the layer', async () => {
    const facts = treeFacts((await odd('absolute hard links')).fs)
    expect(facts.get('a/y')).toMatchObject({ firstName: 'a/x', links: 2n })
  })
})
