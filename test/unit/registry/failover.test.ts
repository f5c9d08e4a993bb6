import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { confFor, type FakeRegistry } from '../../helpers/fake-registry.ts'
import { failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld()
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app', tag: '1' })

describe('mirrors', () => {
  async function pair() {
    const [mirror, primary] = [await registry(), await registry()]
    const conf = { ...primary.conf, mirrors: [{ location: `${mirror.host}/copy`, insecure: true, pullFromMirror: 'all' as const }] }
    return { mirror, primary, registryClient: client([], { registries: { ...confFor(primary), registries: [conf] } }) }
  }

  test('come first', async () => {
    const { mirror, primary, registryClient } = await pair()
    mirror.addImage('copy/team/app', { tag: '1' })
    expect((await registryClient.manifest(app(primary))).endpoint).toEqual({
      registry: mirror.host,
      repository: 'copy/team/app',
      insecure: true,
      mirror: true,
    })
    expect(primary.requests).toEqual([])
  })

  test('are left for the registry when they lack, corrupt or refuse the manifest', async () => {
    const { mirror, primary, registryClient } = await pair()
    const { descriptor } = primary.addImage('team/app', { tag: '1' })
    expect((await registryClient.manifest(app(primary))).endpoint.registry).toBe(primary.host)
    mirror.addImage('copy/team/app', { tag: '1' })
    mirror.fault(/manifests/, { corrupt: true, times: 1 })
    expect((await registryClient.manifest({ ...app(primary), digest: descriptor.digest })).endpoint.registry).toBe(primary.host)
    mirror.fault(/manifests/, { status: 500 })
    expect((await registryClient.manifest(app(primary))).endpoint.registry).toBe(primary.host)
  })

  test('are named when everything fails, with the error of the registry itself', async () => {
    const { mirror, primary, registryClient } = await pair()
    mirror.fault(/manifests/, { status: 403 })
    expect(await failure(registryClient.manifest(app(primary)))).toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
      details: { registry: primary.host, mirrors: [{ registry: mirror.host, code: 'ERR_REGISTRY_DENIED' }] },
    })
  })

  test('that lack one blob do not fail the pull', async () => {
    const { mirror, primary, registryClient } = await pair()
    const bytes = randomBytes(5000)
    const blob = primary.addBlob(bytes)
    const download = registryClient.blob(app(primary), blob)
    expect(Buffer.concat(await download.toArray()).equals(bytes)).toBe(true)
    expect(await registryClient.blobBytes(app(primary), blob)).toEqual(bytes)
    expect(mirror.requests).toHaveLength(2)
  })

  test('that break down in the middle of a blob are replaced from there', async () => {
    const { mirror, primary, registryClient } = await pair()
    const bytes = randomBytes(300_000)
    mirror.addBlob(bytes)
    mirror.fault(/blobs/, { cutAfter: 100_000 })
    const blob = primary.addBlob(bytes)
    expect(Buffer.concat(await registryClient.blob(app(primary), blob).toArray()).equals(bytes)).toBe(true)
    expect(primary.requests[0]?.headers.range).toMatch(/^bytes=[1-9]\d*-$/)
  })
})
