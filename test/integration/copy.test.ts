import { readFileSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { writeMultiPlatform } from '../helpers/multi-platform-image.ts'
import { outputOf } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

/* Images copied between real registries, files and a daemon without the store, and read by skopeo at every step. */

const lab = runtimeLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const OCI = 'application/vnd.oci.image'
let [one, two]: (DockerRegistry | undefined)[] = []

beforeAll(async () => {
  if (lacking(RUNTIME_NEEDS).length > 0) return
  ;[one, two] = await Promise.all([startDockerRegistry(), startDockerRegistry()])
}, 30_000)
afterAll(async () => {
  for (const registry of [one, two]) await registry?.[Symbol.asyncDispose]()
})

const hosts = () => [one?.host ?? '', two?.host ?? ''] as [string, string]

async function emptyRuntime(options: object = {}): Promise<Runtime> {
  return (await lab.emptyStore({ insecureRegistries: hosts(), ...options })).open()
}

const skopeo = (...args: string[]) => outputOf('skopeo', args)
const raw = (place: string) => skopeo('inspect', '--raw', ...(place.startsWith('docker://') ? ['--tls-verify=false'] : []), place)
const configOf = async (place: string) =>
  digestOf(await skopeo('inspect', '--config', '--raw', ...(place.startsWith('docker://') ? ['--tls-verify=false'] : []), place))

describe('an index with all its images', () => {
  it('keeps its bytes from a layout through registries, a directory and an archive', async () => {
    const path = directory()
    const digest = await writeMultiPlatform(join(path, 'layout'))
    const [a, b] = hosts()
    const runtime = await emptyRuntime()
    const expected = { manifestDigest: digest, converted: false, images: 2, signatures: 0 }
    const steps = [
      [`oci:${path}/layout:multi`, `docker://${a}/multi:1`, { uploaded: 3, mounted: 0, present: 0 }],
      // Within a registry nothing is sent; and nothing at all where it is already.
      [`${a}/multi:1`, `${a}/team/multi:1`, { uploaded: 0, mounted: 3, present: 0 }],
      [`${a}/multi:1`, `${a}/team/multi:2`, { uploaded: 0, mounted: 0, present: 3 }],
      [`${a}/multi:1`, `${b}/multi:1`, { uploaded: 3, mounted: 0, present: 0 }],
      [`${b}/multi:1`, `dir:${path}/dir`, { uploaded: 3, mounted: 0, present: 0 }],
      [`dir:${path}/dir`, `oci-archive:${path}/a.tar:v1`, { uploaded: 3, mounted: 0, present: 0 }],
      [`oci-archive:${path}/a.tar:v1`, `${b}/back:1`, { uploaded: 0, mounted: 0, present: 0 }],
    ] as const
    for (const [from, to, blobs] of steps) {
      const result = await runtime.images.copy(from, to, { all: true })
      expect(result).toMatchObject({ ...expected, destination: to.replace('docker://', '') })
      if (to !== `${b}/back:1`) expect(result.blobs).toEqual(blobs)
    }
    const index = await raw(`docker://${b}/back:1`)
    expect(digestOf(index)).toBe(digest)
    for (const { digest: listed } of JSON.parse(index).manifests) expect(digestOf(await raw(`docker://${b}/back@${listed}`))).toBe(listed)
    expect((await raw(`dir:${path}/dir`)).trim()).toBe(index)
    expect((await readdir(path)).sort()).toEqual(['a.tar', 'dir', 'layout'])
    expect(await failure(runtime.images.copy(`${b}/back:1`, `docker-archive:${path}/d.tar`, { all: true }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    // Nothing of this has touched the store.
    expect(await runtime.images.list()).toEqual([])
  })

  it('gives the image for one platform without', async () => {
    const path = directory()
    await writeMultiPlatform(join(path, 'layout'))
    const runtime = await emptyRuntime()
    const [a] = hosts()
    const index = JSON.parse(await raw(`oci:${path}/layout:multi`))
    for (const { digest, platform } of index.manifests) {
      const result = await runtime.images.copy(`oci:${path}/layout:multi`, `${a}/${platform.architecture}:1`, {
        platform: platform.architecture,
      })
      expect(result).toMatchObject({ manifestDigest: digest, images: 1, converted: false })
      expect(digestOf(await raw(`docker://${a}/${platform.architecture}:1`))).toBe(digest)
    }
  })
})

describe('one image', () => {
  it('is copied along all transports, its config the same at each', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const [a, b] = hosts()
    const runtime = await emptyRuntime()
    const config = await configOf(`oci:${path}/layout:latest`)
    const manifest = digestOf(await raw(`oci:${path}/layout:latest`))
    const verbatim = { manifestDigest: manifest, converted: false }
    const steps: readonly (readonly [string, string, object])[] = [
      [`oci:${path}/layout:latest`, `docker://${a}/small:1`, verbatim],
      [`docker://${a}/small:1`, `oci:${path}/oci:v1`, verbatim],
      [`oci:${path}/oci:v1`, `docker://${b}/small:1`, verbatim],
      [`docker://${b}/small:1`, `dir:${path}/dir`, verbatim],
      [`dir:${path}/dir`, `docker-archive:${path}/d.tar:docker.io/team/app:1`, { manifestDigest: undefined, converted: true }],
      [`docker-archive:${path}/d.tar:docker.io/team/app:1`, `oci:${path}/oci:v2`, { converted: true }],
      [`docker-archive:${path}/d.tar`, `docker://${b}/made:1`, { converted: true }],
      [`docker://${b}/made:1`, `oci-archive:${path}/o.tar:v1`, { converted: false }],
    ]
    for (const [from, to, expected] of steps) {
      const phases = new Set<string>()
      const copying = runtime.images.copy(from, to)
      for await (const { phase } of copying) phases.add(phase)
      expect(await copying).toMatchObject({ ...expected, destination: to.replace('docker://', ''), images: 1 })
      expect([...phases]).toEqual(expect.arrayContaining(['resolve', 'publish']))
      expect(await configOf(to)).toBe(config)
    }
    // What is there stays, and a name that is given again moves.
    const { manifests } = JSON.parse(readFileSync(join(path, 'oci/index.json'), 'utf8'))
    expect(manifests).toHaveLength(2)
    expect((await runtime.images.pull(`${b}/made:1`)).id).toBe(config.slice(7))
    expect((await readdir(path)).sort()).toEqual(['d.tar', 'dir', 'layout', 'o.tar', 'oci'])
  })

  it('of Docker is converted for a layout, and for nothing else', async () => {
    const path = directory()
    const [a, b] = hosts()
    await writeSmallImage(join(path, 'layout'))
    await skopeo(
      'copy',
      '--quiet',
      '--insecure-policy',
      '--dest-tls-verify=false',
      '--format=v2s2',
      `oci:${path}/layout:latest`,
      `docker://${a}/docker:1`,
    )
    const runtime = await emptyRuntime()
    const before = await raw(`docker://${a}/docker:1`)
    expect(await runtime.images.copy(`${a}/docker:1`, `${b}/docker:1`)).toMatchObject({
      converted: false,
      manifestDigest: digestOf(before),
    })
    const copied = await runtime.images.copy(`${a}/docker:1`, `oci:${path}/oci`)
    expect(copied).toMatchObject({ converted: true, images: 1 })
    const after = await raw(`oci:${path}/oci`)
    expect(copied.manifestDigest).toBe(digestOf(after))
    const [docker, oci] = [JSON.parse(before), JSON.parse(after)]
    expect([oci.config.digest, oci.layers[0].digest]).toEqual([docker.config.digest, docker.layers[0].digest])
    expect(oci.layers[0].mediaType).toBe(`${OCI}.layer.v1.tar+gzip`)
  })
})

describe('a copy that does not succeed', () => {
  it('writes nothing where the policy rejects the source', async () => {
    const path = directory()
    await writeMultiPlatform(join(path, 'layout'))
    const runtime = await emptyRuntime({ policy: { default: [{ type: 'reject' }] } })
    for (const options of [{}, { all: true }])
      for (const to of [`dir:${path}/dir`, `oci:${path}/oci`, `docker-archive:${path}/d.tar`, `${hosts()[0]}/rejected:1`]) {
        if (to.startsWith('docker-archive') && 'all' in options) continue
        expect(await failure(runtime.images.copy(`oci:${path}/layout:multi`, to, options))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
      }
    expect(await readdir(path)).toEqual(['layout'])
    expect(await failure(skopeo('list-tags', '--tls-verify=false', `docker://${hosts()[0]}/rejected`))).toBeDefined()
  })

  it('leaves nothing half-made when a blob is not what its digest says', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    await writeSmallImage(join(path, 'there'), 'other')
    const runtime = await emptyRuntime()
    const manifest = JSON.parse(await raw(`oci:${path}/layout:latest`))
    const blob = join(path, 'layout/blobs/sha256', manifest.layers[0].digest.slice(7))
    const bytes = readFileSync(blob)
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 1
    writeFileSync(blob, bytes)
    const target = `${hosts()[0]}/broken:1`
    // Where it is decompressed, that is what fails first.
    expect(await failure(runtime.images.copy(`oci:${path}/layout:latest`, `docker-archive:${path}/d.tar`))).toMatchObject({
      code: 'ERR_COMPRESSION_INVALID',
    })
    for (const to of [`dir:${path}/dir`, `oci:${path}/oci:v1`, `oci-archive:${path}/a.tar`, target])
      expect(await failure(runtime.images.copy(`oci:${path}/layout:latest`, to))).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    expect((await readdir(path)).sort()).toEqual(['layout', 'there'])
    expect(await failure(runtime.images.pull(target))).toMatchObject({ kind: 'not-found' })
  })

  it('leaves nothing half-made when it is aborted, nor takes away from a layout what was there', async () => {
    const path = directory()
    await writeMultiPlatform(join(path, 'layout'))
    const runtime = await emptyRuntime()
    for (const to of [`dir:${path}/dir`, `oci-archive:${path}/a.tar`, `oci:${path}/oci`, `${hosts()[0]}/stopped:1`]) {
      const abort = new AbortController()
      const reason = new Error('enough')
      const copying = runtime.images.copy(`oci:${path}/layout:multi`, to, { all: true, signal: abort.signal })
      const watching = (async () => {
        for await (const { phase } of copying) if (phase === 'verify') abort.abort(reason)
      })()
      expect([await failure(copying), await failure(watching)]).toEqual([reason, reason])
    }
    expect(await readdir(path)).toEqual(['layout'])
    expect(await failure(runtime.images.pull(`${hosts()[0]}/stopped:1`))).toMatchObject({ kind: 'not-found' })
  })
})
