import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { bundleReferrer } from '../../src/image/copy/signatures.ts'
import type { Runtime } from '../../src/index.ts'
import { createRegistryClient } from '../../src/registry/registry-client.ts'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import { parseReference } from '../../src/spec/reference.ts'
import { formatStored } from '../../src/trust/signature-blob.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { type GpgSigner, openGpgSigner } from '../helpers/gpg-signer.ts'
import { writeMultiPlatform } from '../helpers/multi-platform-image.ts'
import { openPodman } from '../helpers/podman.ts'
import { outputOf } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { ACCEPT_ANYTHING, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { cosignPayload, signBundle, signCosign, trustedRoot } from '../helpers/sigstore-signer.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { base64 } from '../helpers/trust-request.ts'
import { makeKey } from '../helpers/x509-issuer.ts'

/* Signed images copied and pushed: at the destination the policy finds the signatures that it asks for. */

const NEEDS = [...RUNTIME_NEEDS, 'gpg'] as const
const lab = runtimeLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)
const [key, rekor] = [makeKey(), makeKey()]
const rekorPublicKeyData = base64(rekor.pem)
const REJECT = [{ type: 'reject' }]

let signer: GpgSigner
let gpgKey: string
let registry: DockerRegistry
let store: RuntimeStore
let staging: string

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  ;[signer, registry] = await Promise.all([openGpgSigner(), startDockerRegistry()])
  gpgKey = await signer.makeKey('good <good@example.test>', 'ed25519')
  staging = join(signer.home, 'staging')
  store = await lab.emptyStore({ insecureRegistries: [registry.host], env: { ...process.env, HOME: signer.home } })
  const configuration = join(signer.home, '.config/containers/registries.d')
  mkdirSync(configuration, { recursive: true })
  // What is written to the one is served from there: for a test that is a directory too.
  const lookaside = `lookaside: file://${staging}\n    lookaside-staging: file://${staging}\n    use-sigstore-attachments: true`
  writeFileSync(
    join(configuration, 'test.yaml'),
    `docker:\n  ${registry.host}:\n    ${lookaside}\n  ${registry.host}/plain:\n    lookaside: https://lookaside.test\n    use-sigstore-attachments: false\n`,
  )
}, 60_000)
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  await signer?.close()
})

/** A directory of the `dir` transport with an image, signed as one of a repository that nobody has; its manifest's digest. */
async function writeSigned(path: string, sign: (digest: Digest, manifest: Buffer) => Promise<Buffer>): Promise<Digest> {
  await writeSmallImage(join(path, 'layout'))
  const copy = ['copy', '--quiet', '--insecure-policy']
  await outputOf('skopeo', [...copy, `oci:${path}/layout:latest`, `dir:${path}/signed`])
  const manifest = readFileSync(join(path, 'signed/manifest.json'))
  writeFileSync(join(path, 'signed/signature-1'), await sign(digestOf(manifest), manifest))
  return digestOf(manifest)
}

const SIGNED_AS = 'signed.test/team/app:1'
const signedIdentity = { type: 'exactReference', dockerReference: SIGNED_AS }
/** Only images of this repository, and only signed ones. */
const policyFor = (repository: string, requirement: object) => ({
  default: REJECT,
  transports: { docker: { [`${registry.host}/${repository}`]: [requirement] }, dir: { '': ACCEPT_ANYTHING.default } },
})
const gpgRequirement = async () => ({
  ...{ type: 'signedBy', keyType: 'GPGKeys', signedIdentity },
  keyData: base64(await signer.exportKeys(gpgKey)),
})
const cosignRequirement = { type: 'sigstoreSigned', keyData: base64(key.pem), rekorPublicKeyData, signedIdentity }
const signBoth = {
  gpg: async (_: Digest, manifest: Buffer) => signer.sign(manifest, SIGNED_AS, gpgKey),
  cosign: async (digest: Digest) => formatStored(signCosign(cosignPayload(digest, SIGNED_AS), { key }, { key: rekor })),
}

describe('a signed image', () => {
  it('takes a simple signature to the lookaside of a registry, on to another repository, and back to files', async () => {
    const path = directory()
    const digest = await writeSigned(path, signBoth.gpg)
    const runtime = await store.open({ policy: { ...policyFor('gpg', await gpgRequirement()) } })
    const copied = await runtime.images.copy(`dir:${path}/signed`, `${registry.host}/gpg/app:1`)
    expect(copied).toMatchObject({ manifestDigest: digest, signatures: 1 })
    // The policy accepts nothing that is not signed: here, and as the source of the next copy.
    expect(await runtime.trust.evaluate(`${registry.host}/gpg/app:1`)).toMatchObject({ accepted: true, signed: true })
    for (let times = 1; times <= 2; times++)
      expect(await runtime.images.copy(`${registry.host}/gpg/app:1`, `${registry.host}/gpg/other:1`)).toMatchObject({ signatures: 1 })
    expect(readdirSync(join(staging, 'gpg', `other@${digest.replace(':', '=')}`))).toEqual(['signature-1'])
    expect(await runtime.images.copy(`${registry.host}/gpg/other:1`, `dir:${path}/back`)).toMatchObject({ signatures: 1 })
    expect(readFileSync(join(path, 'back/signature-1'))).toEqual(readFileSync(join(path, 'signed/signature-1')))
    // A push of the same manifest takes along what was kept when it was pulled.
    const image = await runtime.images.pull(`${registry.host}/gpg/app:1`)
    expect(await image.push(`${registry.host}/gpg/pushed:1`)).toMatchObject({ verbatim: true, manifestDigest: digest, signatures: 1 })
    expect(await runtime.trust.evaluate(`${registry.host}/gpg/pushed:1`)).toMatchObject({ accepted: true, signed: true })
    expect(await image.push(`${registry.host}/gpg/bare:1`, { signatures: 'remove' })).toMatchObject({ signatures: 0 })
    expect(await runtime.trust.evaluate(`${registry.host}/gpg/bare:1`)).toMatchObject({ accepted: false })
    await image.remove({ force: true })
  })

  it('takes a cosign signature to an attachment, and on', async () => {
    const path = directory()
    await writeSigned(path, signBoth.cosign)
    const runtime = await store.open({ policy: policyFor('cosign', cosignRequirement) })
    expect(await runtime.images.copy(`dir:${path}/signed`, `${registry.host}/cosign/app:1`)).toMatchObject({ signatures: 1 })
    expect(await runtime.images.copy(`${registry.host}/cosign/app:1`, `${registry.host}/cosign/other:1`)).toMatchObject({ signatures: 1 })
    const image = await runtime.images.pull(`${registry.host}/cosign/other:1`)
    expect(await runtime.images.verify(`${registry.host}/cosign/other:1`)).toMatchObject({ accepted: true, decisions: [{ signed: true }] })
    expect(await runtime.images.copy(`${registry.host}/cosign/other:1`, `dir:${path}/back`)).toMatchObject({ signatures: 1 })
    expect(existsSync(join(path, 'back/signature-1'))).toBe(true)
    await image.remove({ force: true })
  })

  it('takes a sigstore bundle along as a referrer', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const requirement = { type: 'sigstoreBundle', keyData: base64(key.pem), trustedRootData: base64(trustedRoot({ rekor })) }
    const accept = await store.open()
    const name = `${registry.host}/bundle/app:1`
    const { manifestDigest } = await accept.images.copy(`oci:${path}/layout:latest`, name)
    await attachBundle(name, manifestDigest as Digest)
    const runtime = await store.open({ policy: policyFor('bundle', requirement) })
    for (let times = 1; times <= 2; times++)
      expect(await runtime.images.copy(name, `${registry.host}/bundle/other:1`)).toMatchObject({ signatures: 1, manifestDigest })
    expect(await runtime.trust.evaluate(`${registry.host}/bundle/other:1`)).toMatchObject({ accepted: true, signed: true })
    const image = await runtime.images.pull(name)
    expect(await image.push(`${registry.host}/bundle/pushed:1`)).toMatchObject({ verbatim: true, signatures: 1 })
    expect(await runtime.trust.evaluate(`${registry.host}/bundle/pushed:1`)).toMatchObject({ accepted: true, signed: true })
    expect(await failure(runtime.images.copy(name, `dir:${path}/dir`))).toMatchObject({ code: 'ERR_SIGNATURE_DESTINATION' })
  })

  it('takes those of an index and of its images along, each with its own', async () => {
    const path = directory()
    const digest = (await writeMultiPlatform(join(path, 'layout'))) as Digest
    const policy = policyFor('index', await gpgRequirement())
    const runtime = await store.open({ policy: { ...policy, transports: { ...policy.transports, oci: { '': ACCEPT_ANYTHING.default } } } })
    await runtime.images.copy(`oci:${path}/layout:multi`, `dir:${path}/dir`, { all: true })
    const index = readFileSync(join(path, 'dir/manifest.json'))
    const [, arm64] = (JSON.parse(index.toString()) as { manifests: { digest: Digest }[] }).manifests as [unknown, { digest: Digest }]
    const hex = arm64.digest.slice(7)
    const ownSignature = await signer.sign(readFileSync(join(path, `dir/${hex}.manifest.json`)), SIGNED_AS, gpgKey)
    writeFileSync(join(path, `dir/${hex}.signature-1`), ownSignature)
    writeFileSync(join(path, 'dir/signature-1'), await signer.sign(index, SIGNED_AS, gpgKey))
    const target = `${registry.host}/index/app:1`
    const expected = { manifestDigest: digest, images: 2, signatures: 2 }
    expect(await runtime.images.copy(`dir:${path}/dir`, target, { all: true })).toMatchObject(expected)
    // Both are accepted, amd64 only for the signature of the index; without it, that one is denied and nothing is copied.
    expect(await runtime.images.copy(target, `dir:${path}/back`, { all: true })).toMatchObject(expected)
    expect(
      readdirSync(join(path, 'back'))
        .filter((name) => name.includes('signature'))
        .sort(),
    ).toEqual([`${hex}.signature-1`, 'signature-1'].sort())
    expect(await runtime.images.copy(target, `${registry.host}/index/arm64:1`, { platform: 'arm64' })).toMatchObject({ signatures: 1 })
    rmSync(join(staging, 'index', `app@${digest.replace(':', '=')}`), { recursive: true })
    expect(await failure(runtime.images.copy(target, `dir:${path}/denied`, { all: true }))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(existsSync(join(path, 'denied'))).toBe(false)
  })

  it('is not copied to where its signatures have no place, unless they are to be left behind', async () => {
    const path = directory()
    const digest = await writeSigned(path, signBoth.gpg)
    const runtime = await store.open()
    const from = `dir:${path}/signed`
    const places = [`oci:${path}/oci:v1`, `oci-archive:${path}/a.tar`, `docker-archive:${path}/d.tar`, `${registry.host}/plain:1`]
    for (const to of places) {
      const error = await failure(runtime.images.copy(from, to))
      expect(error).toMatchObject({ code: 'ERR_SIGNATURE_DESTINATION', kind: 'unsupported', details: { signatures: 1, digests: [digest] } })
      expect(error.message).toContain("signatures: 'remove'")
    }
    expect(readdirSync(path).sort()).toEqual(['layout', 'signed'])
    for (const to of places) expect(await runtime.images.copy(from, to, { signatures: 'remove' })).toMatchObject({ signatures: 0 })
  })
})

async function attachBundle(name: string, digest: Digest): Promise<void> {
  const reference = parseReference(name)
  const client = createRegistryClient({
    registries: {
      unqualifiedSearchRegistries: [],
      registries: [{ prefix: registry.host, location: registry.host, insecure: true, blocked: false, mirrors: [] }],
    } as never,
  })
  try {
    const { mediaType, bytes } = await client.manifest(reference)
    const bundle = signBundle({ digest, signer: { key }, rekor: { key: rekor } })
    const { raw, blobs } = bundleReferrer(bundle, { mediaType, digest, size: bytes.length })
    for (const blob of blobs) {
      const open = async function* () {
        yield blob.bytes
      }
      await client.pushBlob(reference, { digest: blob.digest, size: blob.bytes.length, open })
    }
    await client.pushManifest({ ...reference, tag: undefined, digest: raw.digest }, raw)
  } finally {
    await client.close()
  }
}

describe('an image for a Docker daemon', () => {
  testNeeding([...RUNTIME_NEEDS, 'podman'], 'goes to a daemon that speaks as Docker does', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    await using podman = await openPodman({ ociRuntime: 'crun' })
    const socket = join(path, 'docker.sock')
    const service = podman.spawn('system', 'service', '--time', '0', `unix://${socket}`)
    try {
      while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20))
      const there = await lab.emptyStore({ env: { ...process.env, DOCKER_HOST: `unix://${socket}` } })
      const runtime: Runtime = await there.open()
      const id = digestOf(await outputOf('skopeo', ['inspect', '--config', '--raw', `oci:${path}/layout:latest`])).slice(7)
      const copied = await runtime.images.copy(`oci:${path}/layout:latest`, 'docker-daemon:team/copied:1')
      expect(copied).toMatchObject({ destination: 'docker-daemon:docker.io/team/copied:1', manifestDigest: undefined })
      const image = await runtime.images.pull(`oci:${path}/layout:latest`, { names: ['pushed:1'] })
      await image.push('docker-daemon:team/pushed:1')
      for (const name of ['copied', 'pushed'])
        expect((await podman.output('image', 'inspect', '--format', '{{.Id}}', `docker.io/team/${name}:1`)).trim()).toBe(id)
    } finally {
      service.kill('SIGTERM')
      await new Promise((resolve) => service.once('exit', resolve))
    }
    const lost = await lab.emptyStore({ env: { ...process.env, DOCKER_HOST: `unix://${socket}` } })
    const runtime = await lost.open()
    const image = await runtime.images.pull(`oci:${path}/layout:latest`)
    for (const push of [image.push('docker-daemon:app:1'), runtime.images.copy(`oci:${path}/layout:latest`, 'docker-daemon:app:1')])
      expect(await failure(push)).toMatchObject({ code: 'ERR_DOCKER_DAEMON', kind: 'unavailable' })
  })
})
