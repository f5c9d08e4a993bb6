import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { openPodman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { tar } from '../helpers/tar-builder.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const directory = temporaryDirectories()
const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

/** A layout with the images `latest` and `labelled`, which have one layer, and `more`, which has two. */
async function threeImages(): Promise<string> {
  const path = directory()
  const layout = join(path, 'layout')
  await writeSmallImage(layout)
  await runProgram('umoci', [
    'config',
    '--image',
    `${layout}:latest`,
    '--tag',
    'labelled',
    '--config.label',
    'a=b',
    '--created',
    '2024-06-01T00:00:00Z',
  ])
  writeFileSync(join(path, 'file'), 'more')
  await runProgram('umoci', ['insert', '--image', `${layout}:latest`, '--tag', 'more', join(path, 'file'), '/more'])
  return layout
}

/** The only layer of the small image, uncompressed. */
function bottomLayer(layout: string): Buffer {
  const blob = (digest: string) => readFileSync(join(layout, 'blobs/sha256', digest.slice(7)))
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: [{ digest: string }] }
  const manifest = JSON.parse(blob(index.manifests[0].digest).toString()) as { layers: [{ digest: string }] }
  return gunzipSync(blob(manifest.layers[0].digest))
}

/** An archive of Docker with a history, which an image of schema 1 must have: a layer, nothing, and maybe another layer. */
function dockerArchive(bottom: Buffer, more: boolean): Buffer {
  const layers = [bottom, ...(more ? [tar({ name: 'more', content: 'more' })] : [])]
  const step = (created_by: string, rest: object = {}) => ({ created: '2024-01-01T00:00:00Z', created_by, ...rest })
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '2024-01-01T00:00:00Z',
    config: { Cmd: ['sh', '-c', 'a && b <c>'], Labels: { a: 'b' }, Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${hash(layer)}`) },
    history: [
      step('ADD <busybox>'),
      step('CMD sh', { empty_layer: true, author: 'me' }),
      ...(more ? [step('ADD more', { comment: 'm' })] : []),
    ],
  })
  const names = layers.map((_, index) => `${index}.tar`)
  return tar(
    ...layers.map((content, index) => ({ name: `${index}.tar`, content })),
    { name: 'config.json', content: config },
    { name: 'manifest.json', content: JSON.stringify([{ Config: 'config.json', RepoTags: ['small:1'], Layers: names }]) },
  )
}

describe('an import', () => {
  function tree(): string {
    const path = directory()
    mkdirSync(join(path, 'bin'))
    mkdirSync(join(path, 'etc'))
    execFileSync('cp', [execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim(), join(path, 'bin/busybox')])
    symlinkSync('busybox', join(path, 'bin/sh'))
    symlinkSync('busybox', join(path, 'bin/stat'))
    writeFileSync(join(path, 'etc/one'), 'content', { mode: 0o4711 })
    execFileSync('chown', ['12:34', join(path, 'etc/one')])
    execFileSync('chmod', ['4711', join(path, 'etc/one')])
    utimesSync(join(path, 'etc/one'), 0, 1_700_000_000.5)
    linkSync(join(path, 'etc/one'), join(path, 'etc/two'))
    execFileSync('mkfifo', [join(path, 'etc/fifo')])
    writeFileSync(Buffer.concat([Buffer.from(`${path}/etc/`), Buffer.from([0xff, 0x31])]), 'odd name')
    return path
  }
  const show = ['/bin/sh', '-c', 'stat -c "%a %u %g %h %Y" /etc/one; stat -c %i /etc/one /etc/two; [ -p /etc/fifo ] && echo fifo']
  const expectSame = async (runtime: Runtime, image: Parameters<Runtime['run']>[0]) => {
    const { stdout } = await runtime.run(image, show)
    const [attributes, first, second, fifo] = stdout.split('\n')
    expect(attributes).toBe('4711 12 34 2 1700000000')
    expect(first).toBe(second)
    expect(fifo).toBe('fifo')
  }

  it('makes an image of a directory, a tar, a compressed tar or a stream, and they are the same', async () => {
    const path = tree()
    const tars = directory()
    await runProgram('tar', ['--numeric-owner', '--format=pax', '-C', path, '-cf', join(tars, 'a.tar'), '.'])
    await runProgram('zstd', ['-q', join(tars, 'a.tar')])
    const runtime = await (await lab.emptyStore()).open()
    const options = {
      config: { Cmd: ['/bin/sh'], Env: ['A=b'], User: '0:0', WorkingDir: '/etc' },
      createdAt: new Date(0),
      message: 'a remark',
    }
    const phases = new Set<string>()
    const importing = runtime.images.import(path, { ...options, name: 'mine:1' })
    for await (const { phase } of importing) phases.add(phase)
    const folder = await importing
    expect([...phases].sort()).toEqual(['commit', 'unpack'])
    await expectSame(runtime, folder)
    expect(await folder.inspect()).toMatchObject({
      names: ['localhost/mine:1'],
      createdAt: new Date(0),
      config: { config: { Cmd: ['/bin/sh'], WorkingDir: '/etc' }, history: [{ created_by: 'import', comment: 'a remark' }] },
    })
    expect((await runtime.run(folder, ['/bin/sh', '-c', 'echo $A; pwd'])).stdout).toBe('b\n/etc\n')
    const again = await runtime.images.import(path, options)
    expect(again.id).toBe(folder.id)
    const plain = await runtime.images.import(join(tars, 'a.tar'), options)
    const packed = await runtime.images.import(join(tars, 'a.tar.zst'), options)
    const streamed = await runtime.images.import(createReadStream(join(tars, 'a.tar')), options)
    expect([packed.id, streamed.id]).toEqual([plain.id, plain.id])
    await expectSame(runtime, plain)
    expect(await folder.history()).toEqual([
      expect.objectContaining({ createdBy: 'import', comment: 'a remark', layer: (await folder.inspect()).layers[0]?.diffId }),
    ])
  })

  it('of what is no root file system fails and leaves nothing', async () => {
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const path = directory()
    writeFileSync(join(path, 'text'), 'no tar'.repeat(200))
    expect(await failure(runtime.images.import(join(path, 'text')))).toMatchObject({ code: 'ERR_LAYER_INVALID' })
    expect(await failure(runtime.images.import(join(path, 'nowhere')))).toMatchObject({ code: 'ERR_ARCHIVE_INVALID' })
    const config = { Env: ['no equals sign'], Cmd: [7] } as unknown as { Cmd: string[] }
    expect(await failure(runtime.images.import(path, { config }))).toMatchObject({ code: 'ERR_IMAGE_CONFIG_INVALID' })
    const controller = new AbortController()
    const importing = runtime.images.import('/usr/lib', { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 150)
    expect((await failure(importing)).message).toBe('enough')
    expect(readdirSync(join(store.root, 'staging'))).toEqual([])
    expect(await runtime.images.list()).toEqual([])
  })
})

describe('a pull', () => {
  it('asks the registry as its policy says', async () => {
    const layout = await threeImages()
    await using registry = await startDockerRegistry()
    await registry.push(layout, 'latest', 'small:1')
    const name = `${registry.host}/small:1`
    const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
    const runtime = await store.open()
    expect(await failure(runtime.images.pull(name, { policy: 'never' }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    const first = await runtime.images.pull(name, { policy: 'missing' })
    const phasesOf = async (policy: 'always' | 'missing' | 'newer' | 'never') => {
      const phases = new Set<string>()
      const pulling = runtime.images.pull(name, { policy })
      for await (const { phase } of pulling) phases.add(phase)
      return { id: (await pulling).id, fetched: phases.has('manifest') }
    }
    for (const policy of ['missing', 'newer', 'never'] as const) expect(await phasesOf(policy)).toEqual({ id: first.id, fetched: false })
    expect(await phasesOf('always')).toEqual({ id: first.id, fetched: true })
    await registry.push(layout, 'more', 'small:1')
    for (const policy of ['missing', 'never'] as const) expect(await phasesOf(policy)).toEqual({ id: first.id, fetched: false })
    const newer = await phasesOf('newer')
    expect(newer).toMatchObject({ fetched: true })
    expect(newer.id).not.toBe(first.id)
    expect((await runtime.images.get(name)).id).toBe(newer.id)
    expect(await failure(runtime.images.pull(name, { policy: 'sometimes' as 'always' }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  testNeeding(
    [...RUNTIME_NEEDS, 'podman'],
    'reads Docker manifests of schema 1, signed, and gives the image ID that podman gives',
    async () => {
      const path = directory()
      await writeSmallImage(join(path, 'layout'))
      await using registry = await startDockerRegistry({ configuration: 'compatibility:\n  schema1:\n    enabled: true\n' })
      await using podman = await openPodman({ ociRuntime: 'crun' })
      const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
      const runtime = await store.open()
      for (const tag of ['one', 'more']) {
        const name = `${registry.host}/old:${tag}`
        writeFileSync(join(path, tag), dockerArchive(bottomLayer(join(path, 'layout')), tag === 'more'))
        const to = ['--dest-tls-verify=false', '--format', 'v2s1', `docker-archive:${path}/${tag}`, `docker://${name}`]
        await runProgram('skopeo', ['copy', '--quiet', '--insecure-policy', ...to])
        const raw = await outputOf('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`])
        expect(JSON.parse(raw)).toMatchObject({ schemaVersion: 1, signatures: [{}] })
        const image = await runtime.images.pull(name)
        await podman.run('pull', '--quiet', '--tls-verify=false', name)
        expect((await podman.output('images', '--quiet', '--no-trunc', name)).trim()).toBe(`sha256:${image.id}`)
        expect((await runtime.run(image, ['cat', tag === 'more' ? '/more' : '/etc/os-release'])).exitCode).toBe(0)
        const { digests } = await image.inspect()
        expect((await runtime.images.pull(digests[0] as string)).id).toBe(image.id)
        const archive = join(directory(), 'a.tar')
        await image.save({ path: archive })
        const other = await (await lab.emptyStore()).open()
        expect((await other.images.load(archive))[0]?.id).toBe(image.id)
      }
    },
  )
})

describe('the images of a store', () => {
  it('are listed by name, label, age and use', async () => {
    const layout = await threeImages()
    const runtime = await (await lab.store()).open()
    const small = await runtime.images.get(SMALL)
    const labelled = await runtime.images.pull(`oci:${layout}:labelled`, { names: ['quay.io/team/app:1.2'] })
    const more = await runtime.images.pull(`oci:${layout}:more`, { names: [] })
    await using _container = await runtime.containers.create({ image: SMALL, command: ['true'], ephemeral: true })
    const ids = async (filter: Parameters<Runtime['images']['list']>[0]) => (await runtime.images.list(filter)).map(({ id }) => id)
    expect(await ids({})).toEqual([small.id, labelled.id, more.id])
    for (const reference of ['app', 'app:1.*', 'team/app', 'quay.io/*/app', 'quay.io/**', ['nope', '*:1.?']])
      expect(await ids({ reference })).toEqual([labelled.id])
    for (const reference of ['ap', 'quay.io/*', 'app:2', 'team', 'x/app', '.*']) expect(await ids({ reference })).toEqual([])
    expect(await ids({ labels: { a: 'b' } })).toEqual([labelled.id])
    expect(await ids({ labels: { a: true } })).toEqual([labelled.id])
    expect(await ids({ labels: { a: 'c' } })).toEqual([])
    expect(await ids({ labels: { toString: true } as Record<string, true> })).toEqual([])
    expect(await ids({ dangling: true })).toEqual([more.id])
    expect(await ids({ inUse: true })).toEqual([small.id])
    expect(await ids({ since: SMALL })).toEqual(expect.arrayContaining([labelled.id]))
    expect(await ids({ before: labelled.id })).toEqual(expect.arrayContaining([small.id]))
    expect(await ids({ before: new Date(0) })).toEqual([])
    expect(await failure(runtime.images.list({ since: 'nope' }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })

  it('are pruned: those without a name, or all that nobody uses; shared layers stay', async () => {
    const layout = await threeImages()
    const store = await lab.store()
    const runtime = await store.open()
    await runtime.images.pull(`oci:${layout}:labelled`, { names: ['app:1'] })
    const more = await runtime.images.pull(`oci:${layout}:more`, { names: [] })
    const layers = () => readdirSync(join(store.root, 'layers')).length
    const before = await runtime.images.diskUsage()
    expect(before.images.map(({ inUse }) => inUse)).toEqual([false, false, false])
    expect(before.totalBytes).toBeGreaterThan(1_000_000)
    expect(before.buildCacheBytes).toBe(0)
    expect(before.images[2]?.uniqueBytes).toBeLessThan(before.images[2]?.usageBytes ?? 0)
    const count = layers()
    expect(await runtime.images.prune({ labels: { nobody: true } })).toEqual({ removed: [], reclaimedBytes: 0 })
    const pruned = await runtime.images.prune()
    expect(pruned).toEqual({ removed: [{ id: more.id, names: [] }], reclaimedBytes: before.images[2]?.uniqueBytes })
    expect(layers()).toBe(count - 1)
    {
      await using _container = await runtime.containers.create({ image: SMALL, command: ['true'], ephemeral: true })
      expect((await runtime.images.diskUsage()).reclaimableBytes).toBe(0)
      expect(await runtime.images.prune({ all: true })).toMatchObject({ removed: [{ names: ['localhost/app:1'] }], reclaimedBytes: 0 })
      expect((await runtime.run(SMALL, ['true'])).exitCode).toBe(0)
    }
    const rest = await runtime.images.diskUsage()
    expect(await runtime.images.prune({ all: true })).toMatchObject({ removed: [{ names: [SMALL] }], reclaimedBytes: rest.totalBytes })
    expect(await runtime.images.list()).toEqual([])
    expect(layers()).toBe(0)
  })

  it('have a history, with a layer for each step that made one', async () => {
    const layout = await threeImages()
    const runtime = await (await lab.emptyStore()).open()
    const more = await runtime.images.pull(`oci:${layout}:more`)
    const { layers } = await more.inspect()
    const steps = await more.history()
    expect(steps.flatMap(({ layer }) => layer ?? [])).toEqual(layers.map(({ diffId }) => diffId))
    expect(steps.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe((await more.inspect()).sizeBytes)
  })
})
