import { describe, expect, test } from '@jest/globals'
import { confFor, type FakeRegistry } from '../../helpers/fake-registry.ts'
import { collect, failure, registryWorld } from '../../helpers/registry-world.ts'

const { registry, client } = registryWorld()
const app = (fake: FakeRegistry) => ({ registry: fake.host, repository: 'team/app', tag: '1' })

describe('tags', () => {
  test('follows pages and leaves out what is no tag', async () => {
    const fake = await registry()
    for (let tag = 1; tag <= 2; tag++) fake.addImage('team/app', { tag: `v${tag}` })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual(['v1', 'v2'])
    fake.fault(/tags\/list\?n=/, {
      times: 1,
      body: '{"tags":["a","\\u001b[31m",7,"b"]}',
      headers: { link: `<${fake.url}/v2/team/app/tags/list?last=b>; rel="next"` },
    })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual(['a', 'b', 'v1', 'v2'])
  })

  test('takes null for no tags, and says when there is no such repository', async () => {
    const fake = await registry()
    fake.fault(/tags/, { times: 1, body: '{"name":"x","tags":null}' })
    expect(await collect(client([fake]).tags(app(fake)))).toEqual([])
    fake.fault(/tags/, { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' })
    expect(await failure(collect(client([fake]).tags(app(fake))))).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' })
  })
})

describe('referrers', () => {
  const signature = (subject: object) => ({ manifest: { subject, artifactType: 'application/x-signature' } })

  test.each([true, false])('finds the manifests that refer to a digest (API: %s)', async (referrersApi) => {
    const fake = await registry({ referrersApi })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    const signed = fake.addImage('team/app', signature(descriptor))
    const report = fake.addImage('team/app', { manifest: { subject: descriptor, artifactType: 'application/x-report' } })
    if (!referrersApi) {
      const entries = [signed, report].map((added, index) => ({
        ...added.descriptor,
        artifactType: ['application/x-signature', 'application/x-report'][index] as string,
      }))
      fake.addIndex('team/app', entries, { tag: descriptor.digest.replace(':', '-') })
    }
    const registryClient = client([fake])
    expect(await collect(registryClient.referrers(app(fake), descriptor.digest))).toHaveLength(2)
    const found = await collect(registryClient.referrers(app(fake), descriptor.digest, { artifactType: 'application/x-signature' }))
    expect(found.map(({ manifest }) => manifest.digest)).toEqual([signed.descriptor.digest])
  })

  test('leaves out what names another subject', async () => {
    const fake = await registry({ referrersApi: false })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    const other = fake.addImage('team/app', { tag: 'other', config: { os: 'other' } })
    const lie = fake.addImage('team/app', signature(other.descriptor))
    fake.addIndex('team/app', [lie.descriptor, other.descriptor], { tag: descriptor.digest.replace(':', '-') })
    expect(await collect(client([fake]).referrers(app(fake), descriptor.digest))).toEqual([])
  })

  test('is empty when there is neither API nor tag', async () => {
    const fake = await registry({ referrersApi: false })
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    expect(await collect(client([fake]).referrers(app(fake), descriptor.digest))).toEqual([])
  })

  test('does not let a mirror hide them', async () => {
    const [mirror, fake] = [await registry(), await registry()]
    const { descriptor } = fake.addImage('team/app', { tag: '1' })
    fake.addImage('team/app', signature(descriptor))
    const registries = {
      ...confFor(fake),
      registries: [{ ...fake.conf, mirrors: [{ location: mirror.host, insecure: true, pullFromMirror: 'all' as const }] }],
    }
    expect(await collect(client([], { registries }).referrers(app(fake), descriptor.digest))).toHaveLength(1)
  })
})
