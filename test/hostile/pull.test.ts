import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { PodlibErrorCode, Runtime, RuntimeOptions } from '../../src/index.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import type { AddedImage, FakeRegistry, Fault } from '../helpers/fake-registry-types.ts'
import { ODD_COMPRESSIONS, SMALL_TAR } from '../helpers/odd-layers.ts'
import { runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { fifos } from '../helpers/runtime-traces.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const GOOD = tar({ name: 'good', content: 'good'.repeat(10_000) })
/** A tar as good as the other, of the same size. */
const OTHER_CONTENT = tar({ name: 'good', content: 'evil'.repeat(10_000) })
let registry: FakeRegistry

beforeAll(async () => {
  registry = await startFakeRegistry()
})
afterAll(() => registry.close())

/** What an error says must help whoever reads it: a sentence in small letters, with the facts. */
function expectAdvice(error: { readonly message: string }): void {
  expect(error.message).toMatch(/^[^A-Z\s].{20,}[^.]$/s)
}

/** After a failed pull: nothing staged, no stream, no image; and the store goes on working. */
async function expectUsable(store: RuntimeStore, runtime: Runtime): Promise<void> {
  const staging = join(store.root, 'staging')
  expect([readdirSync(store.root).includes('staging') ? readdirSync(staging) : [], fifos(store)]).toEqual([[], []])
  expect(await runtime.images.list()).toEqual([])
  registry.addImage('fine', { tag: 'v1', layers: [GOOD] })
  await runtime.images.pull(`${registry.host}/fine:v1`)
  await runtime.images.remove(`${registry.host}/fine:v1`)
}

let count = 0

/** A new repository with an image, and the pull of it. */
function imageOf(
  layers: readonly Buffer[],
  more: { config?: Readonly<Record<string, unknown>>; manifest?: Readonly<Record<string, unknown>> } = {},
) {
  const repository = `bad/image${++count}`
  const added: AddedImage = registry.addImage(repository, { tag: 'v1', layers: [...layers], ...more })
  return { name: `${registry.host}/${repository}:v1`, repository, ...added }
}

async function emptyStore(options: RuntimeOptions = {}): Promise<{ store: RuntimeStore; runtime: Runtime }> {
  const store = await lab.emptyStore({ insecureRegistries: [registry.host], ...options })
  return { store, runtime: await store.open() }
}

describe('a pull from a registry that misbehaves', () => {
  const NOW = { 'retry-after': '0' }
  const CASES: readonly [what: string, where: 'manifests' | 'blobs', fault: Fault, code: PodlibErrorCode][] = [
    [
      'wants to know who asks',
      'manifests',
      { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
      'ERR_REGISTRY_UNAUTHORIZED',
    ],
    ['lets nobody in', 'manifests', { status: 403 }, 'ERR_REGISTRY_DENIED'],
    ['has no such image', 'manifests', { status: 404 }, 'ERR_MANIFEST_NOT_FOUND'],
    ['has had enough of us', 'manifests', { status: 429, headers: NOW }, 'ERR_REGISTRY_RATE_LIMITED'],
    ['is broken', 'manifests', { status: 503, headers: NOW }, 'ERR_REGISTRY_SERVER'],
    ['sends another manifest than it says', 'manifests', { body: '{"schemaVersion":2}' }, 'ERR_DIGEST_MISMATCH'],
    ['sends a manifest without an end', 'manifests', { endless: true }, 'ERR_REGISTRY_BODY_TOO_LARGE'],
    ['lost the blobs', 'blobs', { status: 404 }, 'ERR_BLOB_NOT_FOUND'],
    ['lets nobody at the blobs', 'blobs', { status: 403 }, 'ERR_REGISTRY_DENIED'],
    ['breaks at the blobs', 'blobs', { status: 500, headers: NOW }, 'ERR_REGISTRY_SERVER'],
    ['changes a bit of a blob', 'blobs', { body: OTHER_CONTENT }, 'ERR_DIGEST_MISMATCH'],
    ['sends a damaged blob', 'blobs', { corrupt: true }, 'ERR_DIGEST_MISMATCH'],
    ['sends an error page of the right size', 'blobs', { body: Buffer.alloc(GOOD.length, '<html>') }, 'ERR_DIGEST_MISMATCH'],
    ['sends too little of a blob', 'blobs', { truncateAfter: 100 }, 'ERR_SIZE_MISMATCH'],
    ['sends more than the blob', 'blobs', { endless: true }, 'ERR_SIZE_MISMATCH'],
  ]
  for (const [what, where, fault, code] of CASES) {
    it(`that ${what} fails with ${code} and leaves nothing`, async () => {
      const { store, runtime } = await emptyStore()
      const { name, repository, layers } = imageOf([GOOD])
      registry.fault(new RegExp(where === 'blobs' ? `${repository}/blobs/${layers[0]?.digest}` : `${repository}/manifests`), fault)
      const error = await failure(runtime.images.pull(name))
      expect(error).toMatchObject({ name: 'PodlibError', code })
      expectAdvice(error)
      await expectUsable(store, runtime)
    })
  }

  it('that does not answer at all fails with its address', async () => {
    const { store, runtime } = await emptyStore({ insecureRegistries: [registry.host, '127.0.0.1:9'] })
    const error = await failure(runtime.images.pull('127.0.0.1:9/app:v1'))
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE', kind: 'unavailable', details: { host: '127.0.0.1:9' } })
    expectAdvice(error)
    await expectUsable(store, runtime)
  })

  it('that breaks off in the middle of a layer goes on from there, into the same layer', async () => {
    const { store, runtime } = await emptyStore()
    const content = randomBytes(3_000_000)
    const bytes = tar({ name: 'noise', content })
    const blob = { bytes: gzipSync(bytes), diffId: digestOf(bytes) }
    const { layers } = registry.addImage('bad/broken', { tag: 'v1', layers: [blob] })
    registry.fault(new RegExp(layers[0]?.digest ?? ''), { cutAfter: 1_000_000, times: 2 })
    const image = await runtime.images.pull(`${registry.host}/bad/broken:v1`)
    const asked = registry.requests.filter(({ path }) => path.includes(layers[0]?.digest ?? ''))
    // What was on its way when the connection broke is lost, or not.
    const starts = asked.map(({ headers }) => Number(/^bytes=(\d+)-$/.exec(headers.range ?? 'bytes=0-')?.[1]))
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    expect(starts).toHaveLength(3)
    expect(starts.at(-1)).toBeGreaterThan(0)
    await using mount = await image.mount()
    expect(readFileSync(join(mount.path, 'noise')).equals(content)).toBe(true)
    await mount.unmount()
    await image.remove()
    await expectUsable(store, runtime)
  })

  it('that stalls can be given up, and leaves nothing', async () => {
    const { store, runtime } = await emptyStore()
    const { name, layers } = imageOf([GOOD])
    registry.fault(new RegExp(layers[0]?.digest ?? ''), { stallAfter: 1000, times: 1 })
    const reason = new Error('takes too long')
    const abort = new AbortController()
    const pull = runtime.images.pull(name, { signal: abort.signal })
    setTimeout(() => abort.abort(reason), 700)
    await expect(pull).rejects.toBe(reason)
    await expectUsable(store, runtime)
  })
})

describe('a pull of an image that is made to do harm', () => {
  const HOSTILE: readonly [what: string, blocks: readonly TarBlock[], code: PodlibErrorCode][] = [
    ['climbs out of its root by name', [{ name: '../../../../tmp/podlib-escaped', content: 'x' }], 'ERR_LAYER_INVALID'],
    ['climbs out of its root by a hard link', [{ name: 'link', type: '1', linkName: '../../../../../etc/passwd' }], 'ERR_LAYER_INVALID'],
    ['claims more content than there is', [{ name: 'a', size: 2 ** 40, content: 'x' }], 'ERR_LAYER_INVALID'],
    ['has a header with a wrong sum', [{ name: 'a', badChecksum: true }], 'ERR_LAYER_INVALID'],
  ]
  for (const [what, blocks, code] of HOSTILE) {
    it(`and ${what} fails with ${code}`, async () => {
      const { store, runtime } = await emptyStore()
      const { name } = imageOf([GOOD, tar(...blocks)])
      const error = await failure(runtime.images.pull(name))
      expect(error).toMatchObject({ name: 'PodlibError', code })
      expectAdvice(error)
      await expectUsable(store, runtime)
    })
  }

  it('through a symbolic link of its own writes into its own tree only', async () => {
    const { store, runtime } = await emptyStore()
    const layer = tar({ name: 'out', type: '2', linkName: store.directory }, { name: 'out/escaped', content: 'x' })
    await runtime.images.pull(imageOf([layer]).name).catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_LAYER_INVALID' }))
    expect(readdirSync(store.directory)).not.toContain('escaped')
  })

  it('is refused when the config lies about a layer', async () => {
    const { store, runtime } = await emptyStore()
    const lie = { rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } }
    expect(await failure(runtime.images.pull(imageOf([GOOD], { config: lie }).name))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      kind: 'denied',
    })
    const few = { rootfs: { type: 'layers', diff_ids: [] } }
    expect(await failure(runtime.images.pull(imageOf([GOOD], { config: few }).name))).toMatchObject({
      code: expect.stringMatching(/^ERR_(MANIFEST|IMAGE_CONFIG)_INVALID$/),
    })
    const odd = { config: { Env: 'A=b' } }
    expect(await failure(runtime.images.pull(imageOf([GOOD], { config: odd }).name))).toMatchObject({ code: 'ERR_IMAGE_CONFIG_INVALID' })
    await expectUsable(store, runtime)
  })

  it('is refused when its manifest is none', async () => {
    const { store, runtime } = await emptyStore()
    registry.addManifest('odd', { schemaVersion: 2, layers: 'many' }, { tag: 'v1' })
    const error = await failure(runtime.images.pull(`${registry.host}/odd:v1`))
    expect(error).toMatchObject({ code: 'ERR_MANIFEST_INVALID' })
    expectAdvice(error)
    await expectUsable(store, runtime)
  })

  it('is refused when its compression is cut off', async () => {
    const { store, runtime } = await emptyStore()
    const whole = gzipSync(GOOD)
    const error = await failure(runtime.images.pull(imageOf([whole.subarray(0, whole.length - 20)]).name))
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_INVALID' })
    await expectUsable(store, runtime)
  })

  it('is refused before any layer when it is for another platform', async () => {
    const { store, runtime } = await emptyStore()
    const { name, repository, layers } = imageOf([GOOD], { config: { architecture: 's390x' } })
    const error = await failure(runtime.images.pull(name))
    expect(error).toMatchObject({ code: 'ERR_PLATFORM_MISMATCH', kind: 'unsupported' })
    expect(error.message).toContain('linux/s390x')
    expectAdvice(error)
    expect(registry.requests.filter(({ path }) => path.includes(`${repository}/blobs/${layers[0]?.digest}`))).toEqual([])
    const index = registry.addIndex(repository, [{ ...imageOf([GOOD]).descriptor, platform: { os: 'linux', architecture: 's390x' } }], {
      tag: 'index',
    })
    expect(index.digest).toMatch(/^sha256/)
    expect(await failure(runtime.images.pull(name.replace(':v1', ':index')))).toMatchObject({ code: 'ERR_PLATFORM_MISMATCH' })
    await expectUsable(store, runtime)
  })
})

describe('a pull of an image of an uncommon form', () => {
  const only = async (runtime: Runtime, name: string) => (await runtime.images.get(name)).inspect()

  it('gives a layer that names places outside the registry, if the registry has it, and asks none of them (CVE-2020-15157)', async () => {
    const { runtime } = await emptyStore()
    const foreign = await startFakeRegistry({ auth: 'basic', users: {} })
    try {
      const layer = { bytes: GOOD, mediaType: MEDIA_TYPES.dockerForeignLayer, urls: [`${foreign.url}/v2/x/blobs/layer`] }
      const { descriptor: _, ...added } = registry.addImage('odd/foreign', { tag: 'v1', layers: [layer] })
      await runtime.images.pull(`${registry.host}/odd/foreign:v1`)
      expect(await only(runtime, `${registry.host}/odd/foreign:v1`)).toMatchObject({ layers: [{ diffId: added.layers[0]?.digest }] })
      await runtime.images.remove(`${registry.host}/odd/foreign:v1`)
      registry.fault(new RegExp(`odd/foreign/blobs/${added.layers[0]?.digest}`), { status: 404, times: 1 })
      const error = await failure(runtime.images.pull(`${registry.host}/odd/foreign:v1`))
      expect(error).toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' })
      expect(error.message).toContain(foreign.host)
      expect(foreign.requests).toEqual([])
    } finally {
      await foreign.close()
    }
  })

  it('refuses an artifact with its type, before anything of it is fetched', async () => {
    const { store, runtime } = await emptyStore()
    const blob = registry.addBlob(Buffer.from('a chart'), 'application/vnd.cncf.helm.chart.content.v1.tar+gzip')
    const empty = registry.addBlob(Buffer.from('{}'), MEDIA_TYPES.ociEmpty)
    const artifacts: readonly (readonly [string, object])[] = [
      [
        'application/vnd.cncf.helm.config.v1+json',
        { config: { ...empty, mediaType: 'application/vnd.cncf.helm.config.v1+json' }, layers: [blob] },
      ],
      ['application/vnd.example.sbom', { artifactType: 'application/vnd.example.sbom', config: empty, layers: [empty] }],
    ]
    for (const [type, manifest] of artifacts) {
      registry.addManifest('odd/artifact', { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, ...manifest }, { tag: 'v1' })
      const name = `${registry.host}/odd/artifact:v1`
      const before = registry.requests.length
      for (const action of [runtime.images.pull(name), runtime.run(name, ['true'])]) {
        const error = await failure(Promise.resolve(action))
        expect(error.code).toMatch(/^ERR_(NOT_AN_IMAGE|IMAGE_NOT_FOUND)$/)
        if (error.code === 'ERR_NOT_AN_IMAGE') expect(error.message).toContain(type)
        expectAdvice(error)
      }
      expect(registry.requests.slice(before).filter(({ path }) => path.includes('/blobs/'))).toEqual([])
    }
    await expectUsable(store, runtime)
  })

  it('reads zstd:chunked, several frames of zstd and of gzip, and plain tars that are called gzip', async () => {
    const { runtime } = await emptyStore()
    const diffId = digestOf(SMALL_TAR)
    for (const [what, bytes] of Object.entries(ODD_COMPRESSIONS)) {
      const annotations = { 'io.github.containers.zstd-chunked.manifest-position': '10:20:30:1' }
      const { layers, ...image } = imageOf([], { config: { rootfs: { type: 'layers', diff_ids: [diffId] } } })
      const layer = { ...registry.addBlob(bytes, MEDIA_TYPES.ociLayerGzip), annotations }
      const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: image.config, layers: [layer] }
      registry.addManifest(image.repository, manifest, { tag: 'v1' })
      await runtime.images.pull(image.name)
      expect([what, (await only(runtime, image.name)).layers]).toEqual([what, [expect.objectContaining({ diffId })]])
      await runtime.images.remove(image.name)
    }
  })

  it('chooses the best variant that runs, and no better one', async () => {
    const { runtime } = await emptyStore()
    const add = (architecture: string, variant?: string) => {
      const config = { architecture, ...(variant && { variant }) }
      const { descriptor } = registry.addImage('odd/variants', { layers: [tar({ name: `${architecture}-${variant}` })], config })
      return { ...descriptor, platform: { os: 'linux', architecture, ...(variant && { variant }) } }
    }
    registry.addIndex('odd/variants', [add('arm', 'v5'), add('arm', 'v7'), add('arm', 'v6'), add('arm64', 'v8'), add('amd64', 'v3')], {
      tag: 'v1',
    })
    const name = `${registry.host}/odd/variants:v1`
    for (const [wanted, found] of [
      ['linux/arm/v8', 'linux/arm/v7'],
      ['linux/arm/v7', 'linux/arm/v7'],
      ['linux/arm/v6', 'linux/arm/v6'],
      ['linux/arm64', 'linux/arm64'],
      ['linux/amd64/v4', 'linux/amd64/v3'],
    ] as const) {
      const image = await runtime.images.pull(name, { platform: wanted, names: [] })
      expect([wanted, await image.inspect()]).toEqual([wanted, expect.objectContaining({ platform: found })])
    }
    for (const platform of ['linux/amd64', 'linux/amd64/v2', 'linux/riscv64'])
      expect(await failure(runtime.images.pull(name, { platform }))).toMatchObject({ code: 'ERR_PLATFORM_MISMATCH' })
  })

  it('reads a Docker manifest of schema 1 that nobody signed, and refuses one that is not what it is called by', async () => {
    const { store, runtime } = await emptyStore()
    const layer = registry.addBlob(gzipSync(SMALL_TAR))
    const step = { id: 'a', os: 'linux', architecture: 'amd64', created: '2020-01-01T00:00:00Z', config: { Cmd: ['sh'] } }
    const document = {
      schemaVersion: 1,
      name: 'odd/old',
      tag: 'v1',
      architecture: 'amd64',
      fsLayers: [{ blobSum: layer.digest }],
      history: [{ v1Compatibility: JSON.stringify(step) }],
    }
    const mediaType = MEDIA_TYPES.dockerManifestV1
    const { digest } = registry.addManifest('odd/old', document, { mediaType, tag: 'v1' })
    const image = await runtime.images.pull(`${registry.host}/odd/old:v1`)
    expect(await image.inspect()).toMatchObject({
      config: { config: { Cmd: ['sh'] } },
      layers: [{ diffId: digestOf(SMALL_TAR) }],
      digests: [`${registry.host}/odd/old@${digest}`],
    })
    expect((await runtime.images.pull(`${registry.host}/odd/old@${digest}`)).id).toBe(image.id)
    await runtime.images.remove(image.id, { force: true })
    registry.fault(new RegExp(`odd/old/manifests/${digest}`), { body: JSON.stringify({ ...document, tag: 'v2' }) })
    expect(await failure(runtime.images.pull(`${registry.host}/odd/old@${digest}`))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    registry.addManifest(
      'odd/old',
      { ...document, architecture: 's390x', history: [{ v1Compatibility: '{"architecture":"s390x"}' }] },
      { mediaType, tag: 'v3' },
    )
    const before = registry.requests.length
    expect(await failure(runtime.images.pull(`${registry.host}/odd/old:v3`))).toMatchObject({ code: 'ERR_PLATFORM_MISMATCH' })
    expect(registry.requests.slice(before).filter(({ path }) => path.includes('/blobs/'))).toEqual([])
    await expectUsable(store, runtime)
  })
})

describe('a pull that the policy does not allow', () => {
  it('fetches nothing when there is no policy', async () => {
    const { runtime } = await emptyStore({ policy: '/nowhere/policy.json' })
    const before = registry.requests.length
    const error = await failure(runtime.images.pull(imageOf([GOOD]).name))
    expect(error).toMatchObject({ code: 'ERR_POLICY_MISSING', kind: 'unavailable' })
    expectAdvice(error)
    expect(registry.requests).toHaveLength(before)
  })

  it('fetches neither config nor layers of what is rejected', async () => {
    const { runtime } = await emptyStore({ policy: { default: [{ type: 'reject' }] } })
    const { name, repository } = imageOf([GOOD])
    expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_TRUST_DENIED', kind: 'denied' })
    expect(registry.requests.filter(({ path }) => path.includes(`${repository}/blobs`))).toEqual([])
  })

  it('says what is wrong with a policy that cannot be read', async () => {
    const { runtime } = await emptyStore({ policy: { default: [{ type: 'maybe' }] } })
    expect(await failure(runtime.images.pull(imageOf([GOOD]).name))).toMatchObject({ code: 'ERR_POLICY_INVALID' })
  })
})

describe('a machine that lacks something', () => {
  it('a full disk fails a pull with ERR_NO_SPACE, and the next one succeeds when there is room', async () => {
    const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
    mkdirSync(store.root)
    await runProgram('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'podlib-test', store.root])
    try {
      const runtime = await store.open()
      const { name } = imageOf([
        tar({ name: 'large', content: Buffer.alloc(4 * 2 ** 20, 'x') }),
        tar({ name: 'also', content: Buffer.alloc(4 * 2 ** 20, 'y') }),
      ])
      const error = await failure(runtime.images.pull(name))
      expect(error).toMatchObject({ code: 'ERR_NO_SPACE', kind: 'unavailable' })
      expectAdvice(error)
      expect([readdirSync(join(store.root, 'staging')), fifos(store)]).toEqual([[], []])
      expect(await runtime.images.list()).toEqual([])
      await runtime.images.prune()
      await expectUsable(store, runtime)
      await runProgram('mount', ['-o', 'remount,size=64m', store.root])
      await runtime.images.pull(name)
      await store.expectNothingLeaked()
    } finally {
      await runProgram('umount', [store.root])
      rmSync(store.root, { recursive: true })
    }
  })

  it('a full disk fails the creation of a container, and leaves none', async () => {
    const store = await lab.emptyStore()
    mkdirSync(store.root)
    await runProgram('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'podlib-test', store.root])
    try {
      const template = await lab.store()
      await runProgram('cp', ['-a', `${template.root}/.`, store.root])
      const runtime = await store.open()
      await runProgram('sh', ['-c', `dd if=/dev/zero of=${store.root}/filler bs=4k 2>/dev/null || true`])
      const label = 'x'.repeat(200_000)
      const error = await failure(runtime.containers.create({ image: SMALL, name: 'large', labels: { label } }))
      expect(error).toMatchObject({ code: 'ERR_NO_SPACE' })
      expectAdvice(error)
      rmSync(join(store.root, 'filler'))
      expect(await runtime.containers.list()).toEqual([])
      expect(await runtime.run(SMALL, ['echo', 'room'])).toMatchObject({ stdout: 'room\n' })
      await store.expectNothingLeaked()
    } finally {
      await runProgram('umount', [store.root])
      rmSync(store.root, { recursive: true })
    }
  })

  it('a missing OCI runtime or conmon is named with the package that brings it', async () => {
    const store = await lab.store()
    const noRuntime = await store.open({ ociRuntime: '/nowhere/crun' })
    const withoutRuntime = await failure(noRuntime.run(SMALL, ['true']))
    expect(withoutRuntime).toMatchObject({ code: 'ERR_PROGRAM_MISSING', kind: 'unavailable', details: { program: '/nowhere/crun' } })
    expectAdvice(withoutRuntime)
    const noConmon = await store.open({ conmon: '/nowhere/conmon' })
    const container = await noConmon.containers.create({ image: SMALL, command: ['true'] })
    const withoutConmon = await failure(container.start())
    expect(withoutConmon).toMatchObject({ code: 'ERR_PROGRAM_MISSING', kind: 'unavailable', details: { program: '/nowhere/conmon' } })
    expectAdvice(withoutConmon)
    expect(await container.inspect()).toMatchObject({ status: 'configured' })
    // Without a monitor none is needed.
    expect(await noConmon.run(SMALL, ['echo', 'attached'])).toMatchObject({ stdout: 'attached\n' })
    await noConmon.close()
    const repaired = await store.open()
    await (await repaired.containers.get(container.id)).start()
  })

  it('an empty PATH does not matter where programs are at their usual places', async () => {
    const store = await lab.store()
    const runtime = await store.open({ env: {} })
    expect(await runtime.run(SMALL, ['echo', 'found'])).toMatchObject({ stdout: 'found\n' })
  })

  it('a store that is none, is not ours or cannot be made is refused with advice', async () => {
    const garbage = await lab.emptyStore()
    mkdirSync(garbage.root)
    writeFileSync(join(garbage.root, 'podlib.db'), 'this is no database, and was never one\n'.repeat(100))
    const corrupt = await failure(garbage.open())
    expect(corrupt).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expectAdvice(corrupt)
    rmSync(join(garbage.root, 'podlib.db'))

    const file = join(garbage.directory, 'file')
    writeFileSync(file, '')
    const unreadable = await failure(garbage.open({ root: join(file, 'root') }))
    expect(unreadable).toMatchObject({ code: 'ERR_STORE_UNREADABLE' })
    expectAdvice(unreadable)
  })
})
