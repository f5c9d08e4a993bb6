import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createGzip, gzipSync } from 'node:zlib'
import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { type TarBlock, tar, tarMember } from '../helpers/tar-builder.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const hex = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')
const architecture = process.arch === 'x64' ? 'amd64' : process.arch
const LAYER = tar({ name: 'etc/', type: '5' }, { name: 'etc/x', content: 'x' })
const REF = 'org.opencontainers.image.ref.name'

interface Lab {
  readonly runtime: Runtime
  readonly store: RuntimeStore
}

async function open(policy?: object): Promise<Lab> {
  const store = await lab.emptyStore(policy && { policy })
  return { store, runtime: await store.open() }
}

/** A load that must fail, and leave nothing: no image, no layer, no file in the staging directory. */
async function refused({ runtime, store }: Lab, from: Parameters<Runtime['images']['load']>[0], code: string): Promise<string> {
  const error = await failure(runtime.images.load(from))
  expect({ code: error.code, message: error.message }).toMatchObject({ code })
  expect(await runtime.images.list()).toEqual([])
  expect(safeList(join(store.root, 'staging'))).toEqual([])
  expect(safeList(join(store.root, 'layers'))).toEqual([])
  return error.message
}

function safeList(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function configOf(...layers: Buffer[]): string {
  return JSON.stringify({
    os: 'linux',
    architecture,
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${hex(layer)}`) },
  })
}

/** The members of a `docker save` of one image; `changes` lie over its entry in manifest.json. */
function dockerSave(layer: Buffer, changes: object = {}, config = configOf(layer)): TarBlock[] {
  const entry = { Config: `${hex(config)}.json`, RepoTags: ['victim:1'], Layers: ['layer.tar'], ...changes }
  return [
    { name: `${hex(config)}.json`, content: config },
    { name: 'layer.tar', content: layer },
    { name: 'manifest.json', content: JSON.stringify([entry]) },
  ]
}

/** The files of an OCI layout of one image, by name. */
function ociLayout(layer: Buffer, changes: { readonly manifest?: object; readonly entry?: object } = {}): Record<string, Buffer> {
  const config = configOf(layer)
  const descriptor = (type: string, bytes: Buffer | string) => ({
    mediaType: `application/vnd.oci.image.${type}`,
    digest: `sha256:${hex(bytes)}`,
    size: bytes.length,
  })
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: descriptor('config.v1+json', config),
    layers: [descriptor('layer.v1.tar', layer)],
    ...changes.manifest,
  })
  const entry = { ...descriptor('manifest.v1+json', manifest), annotations: { [REF]: 'localhost/victim:1' }, ...changes.entry }
  return {
    'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
    'index.json': Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry] })),
    [`blobs/sha256/${hex(config)}`]: Buffer.from(config),
    [`blobs/sha256/${hex(layer)}`]: layer,
    [`blobs/sha256/${hex(manifest)}`]: Buffer.from(manifest),
  }
}

const asTar = (files: Record<string, Buffer>) => tar(...Object.entries(files).map(([name, content]) => ({ name, content })))

function asDirectory(files: Record<string, Buffer>): string {
  const path = directory()
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true })
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(path, name), bytes)
  return path
}

function archive(bytes: Buffer): string {
  const path = join(directory(), 'a.tar')
  writeFileSync(path, bytes)
  return path
}

/** A tar whose last member is as long as it says, in a file that has a hole for it. */
function withHugeMember(name: string, size: number, before: Buffer = Buffer.alloc(0)): string {
  const path = archive(Buffer.concat([before, tarMember({ name, size: base256(size) })]))
  truncateSync(path, statSync(path).size + size)
  return path
}

function base256(value: number): Buffer {
  const field = Buffer.alloc(12)
  field.writeUInt8(0x80)
  field.writeBigUInt64BE(BigInt(value), 4)
  return field
}

describe('links in the layers of an archive (CVE-2014-9356, CVE-2014-6407)', () => {
  it('lead nowhere outside of the image', async () => {
    const victim = join(directory(), 'victim')
    writeFileSync(victim, 'untouched')
    const inode = statSync(victim)
    const layers: TarBlock[][] = [
      [
        { name: 'a', type: '2', linkName: victim },
        { name: 'a', content: 'overwritten' },
      ],
      [
        { name: 'd', type: '2', linkName: join(victim, '..') },
        { name: 'd/victim', content: 'overwritten' },
      ],
      [
        { name: 'h', type: '1', linkName: victim },
        { name: 'h', content: 'overwritten' },
      ],
      [{ name: `../../../../../..${victim}`, content: 'overwritten' }],
    ]
    const opened = await open()
    for (const layer of layers.map((blocks) => tar(...blocks))) {
      await opened.runtime.images.load(Readable.from([tar(...dockerSave(layer))])).catch(() => {})
      expect(readFileSync(victim, 'utf8')).toBe('untouched')
      expect(statSync(victim)).toMatchObject({ ino: inode.ino, nlink: 1, mode: inode.mode })
      await opened.runtime.images.prune({ all: true })
    }
  })
})

describe('documents without end (CVE-2023-25153)', () => {
  const HUGE = 8 * 1024 ** 3
  const expectBounded = async (path: string) => {
    const opened = await open()
    const before = process.memoryUsage().rss
    await refused(opened, path, 'ERR_ARCHIVE_TOO_LARGE')
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
  }

  it('are not read: an index, a manifest, a layout version, a manifest.json, a config', async () => {
    const { 'index.json': _, ...rest } = ociLayout(LAYER)
    const members = (files: Record<string, Buffer>) =>
      Buffer.concat(Object.entries(files).map(([name, content]) => tarMember({ name, content })))
    await expectBounded(withHugeMember('index.json', HUGE, members(rest)))
    const { 'oci-layout': __, ...unmarked } = ociLayout(LAYER)
    await expectBounded(withHugeMember('oci-layout', HUGE, members(unmarked)))
    const digest = `sha256:${'1'.repeat(64)}`
    const files = ociLayout(LAYER, { entry: { digest, size: HUGE } })
    await expectBounded(withHugeMember(`blobs/sha256/${'1'.repeat(64)}`, HUGE, members(files)))
    await expectBounded(withHugeMember('manifest.json', HUGE))
    const [, layer, manifest] = dockerSave(LAYER, { Config: 'config' }) as [TarBlock, TarBlock, TarBlock]
    await expectBounded(withHugeMember('config', HUGE, Buffer.concat([tarMember(layer), tarMember(manifest)])))
  })

  it('are not listed: a hundred thousand members, a header of a megabyte', async () => {
    const empty = tarMember({ name: 'x' })
    const numbered = (index: number) => {
      const block = Buffer.from(empty)
      block.write(`f${index}`.padEnd(10, '\0'), 0)
      block.fill(' ', 148, 156)
      block.write(
        `${block
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
        148,
      )
      return block
    }
    await expectBounded(archive(Buffer.concat(Array.from({ length: 60_000 }, (_, index) => numbered(index)))))
    await expectBounded(archive(tar({ name: 'x', pax: [['path', 'a'.repeat(1 << 20)]] })))
  })

  it('take no space: a compressed archive of zeros', async () => {
    const opened = await open()
    const zeros = Readable.from(
      (function* () {
        yield tarMember({ name: 'x', size: base256(512 * 1024 * 1024) })
        for (let left = 512; left > 0; left--) yield Buffer.alloc(1024 * 1024)
      })(),
    )
    const staged: number[] = []
    const watch = setInterval(() => {
      for (const name of safeList(join(opened.store.root, 'staging')))
        staged.push(statSync(join(opened.store.root, 'staging', name)).blocks * 512)
    }, 20)
    try {
      await refused(opened, zeros.pipe(createGzip({ level: 1 })), 'ERR_ARCHIVE_INVALID')
    } finally {
      clearInterval(watch)
    }
    expect(staged.length).toBeGreaterThan(0)
    expect(Math.max(...staged)).toBeLessThan(16 * 1024 * 1024)
  })
})

describe('names in an archive (CVE-2014-9358)', () => {
  it('are no paths: a config or layer is a member or nothing', async () => {
    const opened = await open()
    const victim = '/etc/hostname'
    for (const name of [`../../../../../..${victim}`, victim, '', '.', '..', 'link', 'loop', 'dir/', 'outside']) {
      const members: TarBlock[] = [
        { name: 'link', type: '2', linkName: victim },
        { name: 'outside', type: '1', linkName: `../../..${victim}` },
        { name: 'loop', type: '2', linkName: 'pool' },
        { name: 'pool', type: '2', linkName: 'loop' },
        { name: 'dir/', type: '5' },
      ]
      await refused(opened, archive(tar(...members, ...dockerSave(LAYER, { Config: name }))), 'ERR_BLOB_NOT_FOUND')
      await refused(opened, archive(tar(...members, ...dockerSave(LAYER, { Layers: [name] }))), 'ERR_BLOB_NOT_FOUND')
    }
  })

  it('never mean two members', async () => {
    const opened = await open()
    const blocks = dockerSave(LAYER)
    await refused(opened, archive(tar(...blocks, { name: './manifest.json', content: '[]' })), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(tar(...blocks, { name: 'a/../layer.tar', content: 'other' })), 'ERR_ARCHIVE_INVALID')
  })

  it('and digests of an index lead to no other place (CVE-2024-3727)', async () => {
    const opened = await open()
    for (const digest of [
      'sha256:../../../../etc/hostname',
      `sha256:${'A'.repeat(64)}`,
      `md5:${'0'.repeat(32)}`,
      `sha256:${'0'.repeat(63)}`,
      '',
    ]) {
      await refused(opened, asDirectory(ociLayout(LAYER, { entry: { digest } })), 'ERR_MANIFEST_INVALID')
      const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: 1 }]
      await refused(opened, archive(asTar(ociLayout(LAYER, { manifest: { layers } }))), 'ERR_MANIFEST_INVALID')
    }
  })

  it('take no name away from an image of the store (CVE-2026-50195)', async () => {
    const { runtime } = await open()
    const other = tar({ name: 'other', content: 'other' })
    const mine = await runtime.images.load(archive(tar(...dockerSave(LAYER))))
    const victim = await runtime.images.get('docker.io/library/victim:1')
    expect(victim.id).toBe(mine[0]?.id)
    const again = await runtime.images.load(archive(tar(...dockerSave(LAYER))))
    expect(again[0]?.id).toBe(victim.id)
    const poison = archive(tar(...dockerSave(other)))
    expect(await failure(runtime.images.load(poison))).toMatchObject({ code: 'ERR_IMAGE_NAME_EXISTS', kind: 'already-exists' })
    expect(await failure(runtime.images.pull(`docker-archive:${poison}`))).toMatchObject({ code: 'ERR_IMAGE_NAME_EXISTS' })
    expect((await runtime.images.get('victim:1')).id).toBe(victim.id)
    expect(await runtime.images.list()).toHaveLength(1)
    const [unnamed] = await runtime.images.load(poison, { names: [] })
    expect((await unnamed?.inspect())?.names).toEqual([])
    expect((await runtime.images.get('victim:1')).id).toBe(victim.id)
    await runtime.images.load(poison, { replaceNames: true })
    expect((await runtime.images.get('victim:1')).id).toBe(unnamed?.id)
    expect((await victim.inspect()).names).toEqual([])
  })

  it('that are no names give none', async () => {
    const { runtime } = await open()
    const tags = ['../../../etc/passwd', 'UPPER', 'a:b:c', 'x'.repeat(300), `a@sha256:${'0'.repeat(64)}`, '\u001b[2J', ' ']
    const [image] = await runtime.images.load(archive(tar(...dockerSave(LAYER, { RepoTags: tags }))))
    expect((await image?.inspect())?.names).toEqual([])
  })
})

describe('content that is not what it says', () => {
  const expectRefused = async (files: Record<string, Buffer>, code: string) => {
    const opened = await open()
    await refused(opened, asDirectory(files), code)
    await refused(opened, archive(asTar(files)), code)
    await refused(opened, Readable.from([gzipSync(asTar(files))]), code)
  }

  it('is refused wherever it lies', async () => {
    const files = ociLayout(LAYER)
    const layer = `blobs/sha256/${hex(LAYER)}`
    const changed = Buffer.from(LAYER)
    changed[1024] = 0x79
    await expectRefused({ ...files, [layer]: changed }, 'ERR_DIGEST_MISMATCH')
    await expectRefused({ ...files, [layer]: LAYER.subarray(0, 100) }, 'ERR_SIZE_MISMATCH')
    await expectRefused({ ...files, [layer]: Buffer.concat([LAYER, Buffer.alloc(512)]) }, 'ERR_SIZE_MISMATCH')
    const { [layer]: _, ...without } = files
    await expectRefused(without, 'ERR_BLOB_NOT_FOUND')
  })

  it('is refused in an archive of Docker', async () => {
    const opened = await open()
    const wrong = dockerSave(LAYER)
    const blocks = wrong.map((block) =>
      block.name === 'layer.tar' ? { ...block, content: tar({ name: 'evil', content: 'evil' }) } : block,
    )
    await refused(opened, archive(tar(...blocks)), 'ERR_DIGEST_MISMATCH')
    await refused(opened, archive(tar(...dockerSave(LAYER, { Layers: ['layer.tar', 'layer.tar'] }))), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(tar(...dockerSave(LAYER, { Layers: [] }))), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(tar({ name: 'manifest.json', content: '[{"Config":"a","config":"b"}]' })), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(tar({ name: 'rootfs', content: 'x' })), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(Buffer.from('no archive')), 'ERR_ARCHIVE_INVALID')
    await refused(opened, archive(Buffer.from('fd377a585a0000', 'hex')), 'ERR_COMPRESSION_UNSUPPORTED')
    await refused(opened, archive(gzipSync(tar(...dockerSave(LAYER))).subarray(0, 200)), 'ERR_COMPRESSION_INVALID')
  })

  it('hangs nothing: a FIFO, a device, a directory or a link that leads nowhere in the place of a file', async () => {
    const layer = `blobs/sha256/${hex(LAYER)}`
    const { [layer]: _, ...files } = ociLayout(LAYER)
    const replacements: ((path: string) => void)[] = [
      (path) => execFileSync('mkfifo', [path]),
      (path) => symlinkSync('/dev/zero', path),
      (path) => mkdirSync(path),
      (path) => symlinkSync('/nowhere', path),
      (path) => symlinkSync(path, path),
    ]
    const opened = await open()
    for (const replace of replacements) {
      const path = asDirectory(files)
      replace(join(path, layer))
      await refused(opened, path, 'ERR_BLOB_NOT_FOUND')
      const { 'index.json': __, ...rest } = ociLayout(LAYER)
      const other = asDirectory(rest)
      replace(join(other, 'index.json'))
      await refused(opened, other, 'ERR_BLOB_NOT_FOUND')
    }
  })

  it('is not even read where the policy refuses the place', async () => {
    const trusted = asDirectory(ociLayout(LAYER))
    const policy = { default: [{ type: 'reject' }], transports: { oci: { [trusted]: [{ type: 'insecureAcceptAnything' }] } } }
    const opened = await open(policy)
    await refused(opened, asDirectory(ociLayout(LAYER)), 'ERR_TRUST_DENIED')
    await refused(opened, archive(asTar(ociLayout(LAYER))), 'ERR_TRUST_DENIED')
    await refused(opened, archive(tar(...dockerSave(LAYER))), 'ERR_TRUST_DENIED')
    await refused(opened, Readable.from([tar(...dockerSave(LAYER))]), 'ERR_TRUST_DENIED')
    const link = join(directory(), 'link')
    symlinkSync(trusted, link)
    expect(await opened.runtime.images.load(link)).toHaveLength(1)
  })

  it('leaves nothing when the load is given up', async () => {
    const opened = await open()
    const controller = new AbortController()
    async function* endless() {
      yield tarMember({ name: 'x', size: base256(2 ** 40) })
      for (;;) {
        yield Buffer.alloc(1024 * 1024, 'x')
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const loading = opened.runtime.images.load(endless(), { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 100)
    expect((await failure(loading)).message).toBe('enough')
    expect(safeList(join(opened.store.root, 'staging'))).toEqual([])
  })
})
