import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from '@jest/globals'
import { EMPTY_REGISTRIES_CONF } from '../../src/registry/registries-conf.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { assertLayerCount, assertRunnableImage, parseManifest } from '../../src/spec/manifest.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { testNeeding } from '../helpers/test-needing.ts'

/* The client against the registry that Debian ships, with an image that skopeo pushed. */

const NEEDS = ['docker-registry', 'skopeo', 'zstd'] as const
const check = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)

let work: string
let registry: DockerRegistry
const clients: RegistryClient[] = []

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  work = await mkdtemp(join(tmpdir(), 'podlib-docker-registry-'))
  const tar = join(work, 'layer.tar')
  // The registry keeps bytes; that these are no tar is nobody's business here.
  await writeFile(tar, randomBytes(3 * 1024 * 1024))
  const layers = [
    { tar, compression: 'gzip' as const },
    { tar, compression: 'zstd' as const },
  ]
  const layout = join(work, 'layout')
  for (const tag of ['1', '2']) await writeOciLayout(layout, { tag, layers, run: { Cmd: [tag] } })
  registry = await startDockerRegistry({ storage: join(work, 'storage') })
  for (const tag of ['1', '2']) await registry.push(layout, tag, `team/app:${tag}`)
})

afterAll(async () => {
  for (const client of clients) await client.close()
  await registry?.[Symbol.asyncDispose]()
  if (work) await rm(work, { recursive: true, force: true })
})

function clientFor(host: string, options: RegistryClientOptions = {}): RegistryClient {
  const conf = { prefix: host, location: host, insecure: true, blocked: false, mirrors: [] }
  const client = createRegistryClient({ registries: { ...EMPTY_REGISTRIES_CONF, registries: [conf] }, ...options })
  clients.push(client)
  return client
}

check('an image is read whole: manifest, config and layers, each proven', async () => {
  const client = clientFor(registry.host)
  const target = { registry: registry.host, repository: 'team/app', tag: '1' }
  const raw = await client.manifest(target)
  const stored = await readFile(join(work, 'layout/blobs/sha256', raw.digest.slice('sha256:'.length)))
  expect(raw.bytes.equals(stored)).toBe(true)
  const parsed = parseManifest(raw)
  if (parsed.kind !== 'image') throw new Error('an image was expected')
  assertRunnableImage(parsed.manifest)
  const config = JSON.parse((await client.blobBytes(target, parsed.manifest.config, { endpoint: raw.endpoint })).toString())
  assertLayerCount(parsed.manifest, config)
  for (const layer of parsed.manifest.layers) {
    const bytes = Buffer.concat(await client.blob(target, layer).toArray())
    expect(digestOf(bytes)).toBe(layer.digest)
  }
  expect(await client.headManifest({ ...target, digest: raw.digest })).toMatchObject({
    mediaType: raw.mediaType,
    digest: raw.digest,
    size: raw.bytes.length,
  })
})

check('tags are listed', async () => {
  const tags: string[] = []
  for await (const tag of clientFor(registry.host).tags({ registry: registry.host, repository: 'team/app' })) tags.push(tag)
  expect(tags.sort()).toEqual(['1', '2'])
})

check('a registry without referrers API has no referrers, and absent things are not found', async () => {
  const client = clientFor(registry.host)
  const target = { registry: registry.host, repository: 'team/app', tag: '1' }
  const { digest } = await client.manifest(target)
  for await (const referrer of client.referrers(target, digest)) throw new Error(`unexpected ${referrer.descriptor.digest}`)
  await expect(client.manifest({ ...target, tag: 'none' })).rejects.toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
  await expect(client.manifest({ ...target, repository: 'no/such' })).rejects.toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
  const blob = { mediaType: 'application/octet-stream', digest: digestOf('none'), size: 4 }
  await expect(client.blobBytes(target, blob)).rejects.toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' })
})

check('its challenge for tokens is answered', async () => {
  const tokens = await startFakeRegistry({ auth: 'bearer', anonymous: true })
  const configuration = `auth:\n  silly:\n    realm: ${tokens.tokenUrl}/token\n    service: silly-service\n`
  const guarded = await startDockerRegistry({ storage: join(work, 'storage'), configuration })
  try {
    const target = { registry: guarded.host, repository: 'team/app', tag: '1' }
    expect((await clientFor(guarded.host).manifest(target)).bytes.length).toBeGreaterThan(0)
    expect(tokens.requests.map(({ path }) => path)).toEqual(['/token?service=silly-service&scope=repository%3Ateam%2Fapp%3Apull'])
  } finally {
    await guarded[Symbol.asyncDispose]()
    await tokens.close()
  }
})
