import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect } from '@jest/globals'
import type { RegistryWarning, Runtime } from '../../src/index.ts'
import { digestOf } from '../../src/spec/digest.ts'
import type { FakeRegistry, Fault } from '../helpers/fake-registry.ts'
import { failure, registryWorld } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { fifos } from '../helpers/runtime-traces.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

/* Pulls through mirrors that have the right manifest and the wrong layers. */

const lab = runtimeLab()
const world = registryWorld()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const PLAIN = tar({ name: 'good', content: 'good'.repeat(10_000) })
const OTHER = tar({ name: 'good', content: 'evil'.repeat(10_000) })
const UNPACKED = tar({ name: 'packed', content: randomBytes(100_000) })
const PACKED = gzipSync(UNPACKED, { level: 0 })
/** The right content, and then no end blocks: what is wrong shows when all of the blob has been read. */
const MISPACKED = gzipSync(Buffer.concat([UNPACKED.subarray(0, -600), Buffer.alloc(600, 1)]), { level: 0 })
const XZ = Buffer.concat([Buffer.from('fd377a585a000004e6d6b446', 'hex'), Buffer.alloc(PLAIN.length - 12)])

interface Scene {
  readonly mirrors: readonly FakeRegistry[]
  readonly primary: FakeRegistry
  readonly store: RuntimeStore
  readonly runtime: Runtime
  readonly warnings: RegistryWarning[]
  readonly name: string
  /** Digests of the layers. */
  readonly plain: string
  readonly packed: string
}

/** An image of two layers at a registry and at its mirrors. */
async function scene(mirrorCount = 1): Promise<Scene> {
  const primary = await world.registry()
  const mirrors = await Promise.all(Array.from({ length: mirrorCount }, () => world.registry()))
  const add = (fake: FakeRegistry) =>
    fake.addImage('team/app', {
      tag: 'v1',
      layers: [PLAIN, { bytes: PACKED, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', diffId: digestOf(UNPACKED) }],
    })
  const [plain, packed] = add(primary).layers
  for (const mirror of mirrors) add(mirror)
  const store = await lab.emptyStore()
  const conf = join(store.directory, 'registries.conf')
  const tables = mirrors.map(({ host }) => `[[registry.mirror]]\nlocation = "${host}"\ninsecure = true\n`)
  writeFileSync(conf, `[[registry]]\nlocation = "${primary.host}"\ninsecure = true\n${tables.join('')}`)
  const warnings: RegistryWarning[] = []
  const runtime = await store.open({ registriesConf: conf, onRegistryWarning: (warning) => warnings.push(warning) })
  const name = `${primary.host}/team/app:v1`
  return { mirrors, primary, store, runtime, warnings, name, plain: plain?.digest ?? '', packed: packed?.digest ?? '' }
}

function expectNothingStaged(store: RuntimeStore): void {
  const staging = join(store.root, 'staging')
  expect([existsSync(staging) ? readdirSync(staging) : [], fifos(store)]).toEqual([[], []])
}

describe('a mirror that has another layer than the manifest says', () => {
  const CASES: readonly [what: string, layer: 'plain' | 'packed', fault: Fault][] = [
    ['a layer as good as the right one', 'plain', { body: OTHER }],
    ['a damaged layer', 'plain', { corrupt: true }],
    ['a damaged compression', 'packed', { body: Buffer.concat([PACKED.subarray(0, 5000), Buffer.alloc(PACKED.length - 5000)]) }],
    ['a damaged end', 'packed', { body: MISPACKED }],
    ['a page for people', 'packed', { body: Buffer.alloc(PACKED.length, '<html>') }],
    ['a compression that nobody knows', 'plain', { body: XZ }],
    ['the right beginning, for good', 'packed', { truncateAfter: 5000 }],
    ['the right beginning, without a length', 'packed', { truncateAfter: 5000, noLength: true }],
    ['a longer layer', 'plain', { body: Buffer.concat([PLAIN, Buffer.alloc(512)]) }],
    ['a layer without an end', 'plain', { endless: true }],
    ['nothing', 'plain', { body: '' }],
    ['a wrong beginning, and a broken connection', 'packed', { body: Buffer.alloc(PACKED.length, 'x'), cutAfter: 20_000 }],
  ]
  for (const [what, layer, fault] of CASES) {
    it(`(${what}) does not fail the pull, and nothing of it stays`, async () => {
      const { mirrors, primary, store, runtime, warnings, name, ...digests } = await scene()
      const [mirror] = mirrors as [FakeRegistry]
      mirror.fault(new RegExp(`blobs/${digests[layer]}`), fault)
      const image = await runtime.images.pull(name)
      expect((await image.inspect()).layers).toHaveLength(2)
      expectNothingStaged(store)
      expect(mirror.requests.some(({ path }) => path.includes(digests[layer]))).toBe(true)
      // What was right of the mirror came from there.
      const blobs = primary.requests.flatMap(({ path }) => /blobs\/(.*)/.exec(path)?.slice(1) ?? [])
      expect([...new Set(blobs)]).toEqual([digests[layer]])
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toEqual({ registry: mirror.host, text: expect.stringMatching(/elsewhere$/) })
      const copy = join(store.directory, 'copy')
      await runtime.images.save(name, { format: 'oci', path: copy })
      for (const content of [PLAIN, UNPACKED]) {
        const digest = digestOf(content)
        expect(digestOf(readFileSync(join(copy, 'blobs', digest.replace(':', '/'))))).toBe(digest)
      }
    })
  }

  it('is left for another mirror before the registry is asked', async () => {
    const { mirrors, primary, runtime, warnings, name, plain } = await scene(2)
    mirrors[0]?.fault(new RegExp(plain), { corrupt: true })
    await runtime.images.pull(name)
    expect(primary.requests).toEqual([])
    expect(mirrors[1]?.requests.map(({ path }) => path)).toEqual([`/v2/team/app/blobs/${plain}`])
    expect(warnings).toMatchObject([{ registry: mirrors[0]?.host }])
  })

  it('fails the pull with what all of them sent when none has the layer', async () => {
    const { mirrors, primary, store, runtime, warnings, name, plain } = await scene(2)
    for (const fake of [...mirrors, primary]) fake.fault(new RegExp(plain), { body: OTHER })
    const error = await failure(runtime.images.pull(name))
    const hosts = mirrors.map(({ host }) => host)
    expect(error).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      kind: 'denied',
      details: { expected: plain, registry: primary.host, mirrors: hosts.map((registry) => ({ registry, code: 'ERR_DIGEST_MISMATCH' })) },
    })
    for (const { host } of [...mirrors, primary]) expect(error.message).toContain(host)
    expect(warnings.map(({ registry }) => registry)).toEqual(hosts)
    expectNothingStaged(store)
    expect(await runtime.images.list()).toEqual([])
  })

  it('fails the pull with the error of the registry when that has no layer at all', async () => {
    const { mirrors, primary, store, runtime, name, plain } = await scene()
    mirrors[0]?.fault(new RegExp(plain), { body: OTHER })
    primary.fault(new RegExp(plain), { status: 404 })
    expect(await failure(runtime.images.pull(name))).toMatchObject({
      code: 'ERR_BLOB_NOT_FOUND',
      details: { registry: primary.host, mirrors: [{ registry: mirrors[0]?.host, code: 'ERR_DIGEST_MISMATCH' }] },
    })
    expectNothingStaged(store)
  })
})

describe('an image', () => {
  it('that lies about the content of a layer is not fetched from everywhere', async () => {
    const { mirrors, primary, runtime, warnings } = await scene()
    for (const fake of [...mirrors, primary]) {
      fake.addImage('team/liar', {
        tag: 'v1',
        layers: [PLAIN],
        config: { rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } },
      })
    }
    expect(await failure(runtime.images.pull(`${primary.host}/team/liar:v1`))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    expect([primary.requests, warnings]).toEqual([[], []])
  })

  it('gets a layer of the store by the digest of its content only, never by what another image called it (CVE-2024-24557)', async () => {
    const { primary, runtime, name } = await scene(0)
    await runtime.images.pull(name)
    // Its manifest says other bytes than its config: the content that the config names is in the store, the bytes are not asked for.
    const { layers } = primary.addImage('team/claims', { tag: 'v1', layers: [{ bytes: OTHER, diffId: digestOf(PLAIN) }] })
    await runtime.images.pull(`${primary.host}/team/claims:v1`)
    expect(primary.requests.filter(({ path }) => path.includes(layers[0]?.digest ?? 'none'))).toEqual([])
    // And nothing of that claim is believed for the next one.
    primary.addImage('team/honest', { tag: 'v1', layers: [OTHER] })
    const honest = await runtime.images.pull(`${primary.host}/team/honest:v1`)
    expect((await honest.inspect()).layers).toMatchObject([{ diffId: digestOf(OTHER) }])
    expect(primary.requests.filter(({ path }) => path.includes(layers[0]?.digest ?? 'none'))).toHaveLength(1)
  })

  it('whose registry alone has it names that for a wrong layer', async () => {
    const { primary, runtime, warnings, name, plain } = await scene(0)
    primary.fault(new RegExp(plain), { body: OTHER })
    const error = await failure(runtime.images.pull(name))
    expect(error).toMatchObject({ code: 'ERR_DIGEST_MISMATCH', details: { registry: primary.host, repository: 'team/app' } })
    expect(error.message).toContain(`served by ${primary.host}/team/app`)
    expect(primary.requests.filter(({ path }) => path.includes(plain))).toHaveLength(1)
    expect(warnings).toEqual([])
  })

  it('whose config or manifest a mirror has wrong comes from the registry, with a warning', async () => {
    const { mirrors, runtime, warnings, name } = await scene()
    const [mirror] = mirrors as [FakeRegistry]
    mirror.fault(/manifests/, { corrupt: true, times: 1 })
    await runtime.images.pull(name)
    expect(warnings).toMatchObject([{ registry: mirror.host, text: expect.stringContaining('manifest') }])
    await runtime.images.remove(name)
    mirror.fault(/blobs/, { answer: (_request, response) => void response.end('{}'), times: 1 })
    await runtime.images.pull(name)
    expect(warnings.at(-1)).toMatchObject({ registry: mirror.host, text: expect.stringMatching(/2 bytes|digest/) })
  })
})
