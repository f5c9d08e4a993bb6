import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime, RuntimeOptions } from '../../src/index.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import type { AddedImage, FakeRegistry } from '../helpers/fake-registry-types.ts'
import { failure } from '../helpers/registry-world.ts'
import { ACCEPT_ANYTHING, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { signBundle } from '../helpers/sigstore-signer.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { base64 } from '../helpers/trust-request.ts'
import { makeKey } from '../helpers/x509-issuer.ts'

/* Registries that show one image to whoever verifies and another to whoever pulls, and stores that are asked later. */

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const key = makeKey()
const SIGNED = { default: [{ type: 'sigstoreBundle', keyData: base64(key.pem) }] }
const REJECT = { default: [{ type: 'reject' }] }
let registry: FakeRegistry
let count = 0

beforeAll(async () => {
  registry = await startFakeRegistry()
})
afterAll(() => registry.close())

function addImage(repository: string, content: string, tag?: string): AddedImage {
  return registry.addImage(repository, { ...(tag !== undefined && { tag }), layers: [tar({ name: 'file', content })] })
}

function attachBundle(repository: string, { descriptor }: AddedImage): void {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const artifactType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
  const config = registry.addBlob(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')
  const layers = [registry.addBlob(signBundle({ digest: descriptor.digest, signer: { key } }), artifactType)]
  registry.addManifest(repository, { schemaVersion: 2, mediaType, artifactType, config, layers, subject: descriptor }, { mediaType })
}

/** A repository whose tag leads to a signed image, and another image that can be put in its place. */
function twoImages() {
  const repository = `team/app${++count}`
  const [good, evil] = [addImage(repository, 'good', '1'), addImage(repository, 'evil')]
  attachBundle(repository, good)
  return { repository, name: `${registry.host}/${repository}:1`, good, evil, move: () => addImage(repository, 'evil', '1') }
}

async function openStore(options: RuntimeOptions): Promise<{ store: RuntimeStore; runtime: Runtime }> {
  const store = await lab.emptyStore({ insecureRegistries: [registry.host], ...options })
  return { store, runtime: await store.open() }
}

describe('CVE-2023-33959, CVE-2024-23332: a tag that moves between the verification and the pull', () => {
  it('is asked for once: what was verified is what comes', async () => {
    const { name, repository, good, move } = twoImages()
    const { runtime } = await openStore({ policy: SIGNED })
    // The tag moves as soon as somebody has seen where it leads.
    const pull = runtime.images.pull(name)
    for await (const { phase } of pull) if (phase === 'verify') move()
    expect((await (await pull).inspect()).manifests).toMatchObject([{ digest: good.descriptor.digest }])
    expect(registry.requests.filter(({ path }) => path.endsWith(`${repository}/manifests/1`))).toHaveLength(1)
    expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect((await runtime.images.get(name)).id).toBe((await pull).id)
  })

  it('an answer to a preview is no answer for the pull that follows', async () => {
    const { name, move } = twoImages()
    const { runtime } = await openStore({ policy: SIGNED })
    expect((await runtime.trust.evaluate(name)).accepted).toBe(true)
    move()
    expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
  })

  it('config and layers of another image do not come in under a verified manifest', async () => {
    const { name, repository, good, evil } = twoImages()
    const { runtime } = await openStore({ policy: SIGNED })
    const content = tar({ name: 'file', content: 'evil' })
    registry.fault(new RegExp(`${repository}/blobs/${good.layers[0]?.digest}`), { body: content, noLength: true })
    expect(await failure(runtime.images.pull(name))).toMatchObject({ code: expect.stringMatching(/ERR_(DIGEST|SIZE)_MISMATCH/) })
    registry.fault(new RegExp(`${repository}/blobs/${good.config.digest}`), {
      body: JSON.stringify({ digest: evil.config.digest }),
      noLength: true,
    })
    expect(await failure(runtime.images.pull(name))).toMatchObject({ code: expect.stringMatching(/ERR_(DIGEST|SIZE)_MISMATCH/) })
    expect(await runtime.images.list()).toEqual([])
  })
})

describe('signatures that are kept', () => {
  it('of one repository say nothing of another that serves the same image', async () => {
    const { name, good } = twoImages()
    const copied = `team/copy${count}`
    expect(addImage(copied, 'good', '1').descriptor.digest).toBe(good.descriptor.digest)
    const { store, runtime } = await openStore({ policy: SIGNED })
    await runtime.images.pull(name)
    await runtime.close()
    const accepting = await store.open({ policy: ACCEPT_ANYTHING })
    const copy = `${registry.host}/${copied}:1`
    const image = await accepting.images.pull(copy)
    expect(await accepting.images.verify(name, { policy: SIGNED })).toMatchObject({ accepted: true })
    expect(await accepting.images.verify(copy, { policy: SIGNED })).toMatchObject({ accepted: false })
    // By id, the image is everything that it came as.
    expect(await accepting.images.verify(image.id, { policy: SIGNED })).toMatchObject({ accepted: false, decisions: [{}, {}] })
  })

  it('are left where they are when they are too large, and the image comes all the same', async () => {
    const { name } = twoImages()
    const { store, runtime } = await openStore({ policy: ACCEPT_ANYTHING })
    const path = join(store.directory, 'saved')
    await (await runtime.images.pull(name)).save({ format: 'dir', path })
    await runtime.images.remove(name)
    writeFileSync(join(path, 'signature-1'), Buffer.alloc(5 << 20, 0x88))
    const image = await runtime.images.pull(`dir:${path}`)
    expect(await image.save({ format: 'dir', path: `${path}-again` })).toMatchObject([{ signatures: 0 }])
    const policy = { default: [{ type: 'signedBy', keyType: 'GPGKeys', keyData: base64('x') }] }
    expect(await image.verify({ policy })).toMatchObject({ accepted: false, decisions: [{ requirements: [{ accepted: false }] }] })
  })

  it('are no way around a policy that cannot be read', async () => {
    const { name } = twoImages()
    const { store, runtime } = await openStore({ policy: SIGNED })
    await runtime.images.pull(name)
    await runtime.close()
    const without = await store.open({ policy: '/nowhere/policy.json' })
    expect(await failure(without.images.verify(name))).toMatchObject({ code: 'ERR_POLICY_MISSING' })
    expect(await failure(without.images.verify(name, { policy: { default: [] } }))).toMatchObject({ code: 'ERR_POLICY_INVALID' })
    expect(await without.images.verify(name, { policy: SIGNED })).toMatchObject({ accepted: true })
  })
})

describe('a policy that fails open', () => {
  it('does not take a link in a trusted directory for what it leads to', async () => {
    const { name } = twoImages()
    const { store, runtime } = await openStore({ policy: ACCEPT_ANYTHING })
    const [outside, trusted] = [join(store.directory, 'outside'), join(store.directory, 'trusted')]
    const image = await runtime.images.pull(name)
    await image.save({ format: 'dir', path: outside })
    await image.remove()
    mkdirSync(trusted)
    symlinkSync(outside, join(trusted, 'link'))
    await runtime.close()
    const policy = { ...REJECT, transports: { dir: { [trusted]: ACCEPT_ANYTHING.default } } }
    const strict = await store.open({ policy })
    expect(await failure(strict.images.pull(`dir:${trusted}/link`))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(await failure(strict.images.load(join(trusted, 'link')))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(await strict.trust.evaluate(`dir:${trusted}/link`)).toMatchObject({ accepted: false, scope: { transport: undefined } })
  })
})
