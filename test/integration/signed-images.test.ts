import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { ImageVerification, PodlibError, Runtime, TrustDecision } from '../../src/index.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { type GpgSigner, openGpgSigner } from '../helpers/gpg-signer.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { openPodman } from '../helpers/podman.ts'
import { runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { ACCEPT_ANYTHING, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { base64 } from '../helpers/trust-request.ts'

/*
 * Images that podman and skopeo signed, from the push to a later look at what was kept. Registry, lookaside and keys are
 * real; both programs and podlib read the same registries.d, as they have the same home directory.
 */

const NEEDS = [...RUNTIME_NEEDS, 'gpg', 'podman'] as const
const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)
const REJECT = { default: [{ type: 'reject' }] }

let signer: GpgSigner
let registry: DockerRegistry
let store: RuntimeStore
let good: string
let other: string
let lookaside: string
/** `host/name:1`, signed by podman with the good key. */
let name: string

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  signer = await openGpgSigner()
  good = await signer.makeKey('good <good@example.test>', 'ed25519')
  other = await signer.makeKey('other <other@example.test>', 'ed25519')
  registry = await startDockerRegistry()
  lookaside = join(signer.home, 'lookaside')
  await configure()
  store = await lab.emptyStore({ insecureRegistries: [registry.host], env: { ...process.env, HOME: signer.home } })
  await mkdir(store.directory, { recursive: true })
  await writeFile(join(store.directory, 'file'), 'content')
  const tar = join(store.directory, 'layer.tar')
  await runProgram('tar', ['-C', store.directory, '-cf', tar, 'file'])
  name = `${registry.host}/team/app:1`
  await pushSigned(name)
}, 60_000)

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  await signer?.close()
})

async function configure(): Promise<void> {
  const directory = join(signer.home, '.config/containers/registries.d')
  await mkdir(directory, { recursive: true })
  await mkdir(lookaside)
  const section = `lookaside: file://${lookaside}\n    lookaside-staging: file://${lookaside}`
  await writeFile(join(directory, 'test.yaml'), `docker:\n  ${registry.host}:\n    ${section}\n`)
  await writeFile(join(signer.home, '.config/containers/policy.json'), JSON.stringify(ACCEPT_ANYTHING))
}

async function pushSigned(target: string): Promise<void> {
  await using podman = await openPodman({ ociRuntime: 'crun', env: { HOME: signer.home, GNUPGHOME: signer.home } })
  const id = (await podman.output('import', '--quiet', join(store.directory, 'layer.tar'))).trim()
  await podman.run('push', '--quiet', '--tls-verify=false', '--sign-by', good, id, `docker://${target}`)
}

async function signedBy(...keys: readonly string[]): Promise<object> {
  return { type: 'signedBy', keyType: 'GPGKeys', keyData: base64(await signer.exportKeys(...keys)) }
}

/** A policy for the registry only; everything else is rejected. */
async function onlySigned(...keys: readonly string[]): Promise<object> {
  return { ...REJECT, transports: { docker: { [registry.host]: [await signedBy(...keys)] } } }
}

async function signatureFile(image = 'app'): Promise<string> {
  const directory = (await readdir(join(lookaside, 'team'))).find((entry) => entry.startsWith(`${image}@`)) ?? ''
  return join(lookaside, 'team', directory, 'signature-1')
}

/** Opens the store with a policy, for as long as the work takes. */
async function withPolicy<Result>(policy: object, work: (runtime: Runtime) => Promise<Result>): Promise<Result> {
  const runtime = await store.open({ policy })
  try {
    return await work(runtime)
  } finally {
    await runtime.close()
  }
}

const reasons = ({ requirements }: TrustDecision) => requirements.map(({ reason }) => reason).join('\n')
const firstOf = ({ decisions }: ImageVerification) => decisions[0] as TrustDecision

describe('an image that podman push --sign-by signed', () => {
  it('is accepted by name and by digest, and the decision tells scope, key and name', async () => {
    await withPolicy(await onlySigned(good), async (runtime) => {
      const decision = await runtime.trust.evaluate(name)
      expect(decision).toMatchObject({
        accepted: true,
        signed: true,
        scope: { transport: 'docker', scope: registry.host },
        requirements: [{ type: 'signedBy', accepted: true, reason: `signed by OpenPGP key ${good} as ${name}` }],
      })
      const byDigest = await runtime.trust.evaluate(`${registry.host}/team/app@${decision.manifestDigest}`)
      expect(byDigest.accepted).toBe(true)
      expect(await runtime.images.list()).toEqual([])
      await runtime.images.pull(name)
      expect(await runtime.images.verify(name)).toEqual({ accepted: true, objection: undefined, decisions: [decision] })
      await runtime.images.remove(name)
    })
  })

  it('is refused with another key, and asking without a pull tells the very same', async () => {
    await withPolicy(await onlySigned(other), async (runtime) => {
      const error = (await failure(runtime.images.pull(name))) as PodlibError
      expect(error).toMatchObject({ code: 'ERR_TRUST_DENIED', kind: 'denied' })
      expect(error.details).toEqual({ decision: await runtime.trust.evaluate(`docker://${name}`) })
      expect(error.message).toMatch(/does not list the signing key/)
    })
  })

  /** A signature to be put in the place of podman's, and the keys that the policy lists. */
  type Change = (signature: Buffer) => Promise<{ readonly signature: Buffer; readonly keys?: readonly string[] }>
  const changes: readonly (readonly [string, Change, RegExp])[] = [
    ['cut', async (signature) => ({ signature: signature.subarray(0, -1) }), /./],
    ['there twice in one file', async (signature) => ({ signature: Buffer.concat([signature, signature]) }), /./],
    ['of another key', async () => ({ signature: await sign(await payload(), other) }), /does not list the signing key/],
    ['of another digest', async () => ({ signature: await signer.sign(Buffer.from('{}'), name, good) }), /it signs sha256/],
    ['of another tag', async () => ({ signature: await signAs(`${registry.host}/team/app:2`) }), /does not accept/],
    ['of another repository', async () => ({ signature: await signAs(`${registry.host}/team/evil:1`) }), /does not accept/],
    [
      'of a key that expired since',
      async () => {
        const key = await signer.makeKey('expired <expired@example.test>', 'ed25519', 'seconds=86400', '20200101T000000')
        return { signature: await sign(await payload(), key, '--faked-system-time', '20200101T010000'), keys: [key] }
      },
      /key has expired/,
    ],
    [
      'of a key that was revoked since',
      async () => {
        const key = await signer.makeKey('revoked <revoked@example.test>', 'ed25519')
        const signature = await sign(await payload(), key)
        const certificate = await readFile(join(signer.home, 'openpgp-revocs.d', `${key}.rev`), 'utf8')
        await signer.gpg(['--import'], Buffer.from(certificate.replace(':-----BEGIN', '-----BEGIN')))
        return { signature, keys: [key] }
      },
      /key has been revoked/,
    ],
  ]
  for (const [what, change, reason] of changes) {
    it(`is refused when its signature is ${what}`, async () => {
      const path = await signatureFile()
      const original = await readFile(path)
      try {
        const { signature, keys = [good] } = await change(original)
        await writeFile(path, signature)
        await withPolicy(await onlySigned(...keys), async (runtime) => {
          const decision = await runtime.trust.evaluate(name)
          expect(decision.accepted).toBe(false)
          expect(reasons(decision)).toMatch(reason)
          expect(await failure(runtime.images.pull(name))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
        })
      } finally {
        await writeFile(path, original)
      }
    })
  }

  const sign = (text: Buffer, key: string, ...options: readonly string[]) => signer.gpg([...options, '--local-user', key, '--sign'], text)
  const signAs = async (reference: string) => signer.sign(await rawManifest(), reference, good)

  async function rawManifest(): Promise<Buffer> {
    return signer.skopeo(['inspect', '--raw', '--tls-verify=false', `docker://${name}`])
  }

  async function payload(): Promise<Buffer> {
    const critical = {
      type: 'atomic container signature',
      image: { 'docker-manifest-digest': digestOf(await rawManifest()) },
      identity: { 'docker-reference': name },
    }
    return Buffer.from(JSON.stringify({ critical, optional: {} }))
  }
})

describe('signatures that are kept with an image', () => {
  it('are judged by the policy of the day, without the registry', async () => {
    await withPolicy(await onlySigned(good), async (runtime) => {
      const image = await runtime.images.pull(name)
      await image.tag('localhost/mine:1')
    })
    await rm(lookaside, { recursive: true })
    await mkdir(lookaside)
    try {
      await withPolicy(REJECT, async (runtime) => {
        const image = await runtime.images.get(name)
        expect(firstOf(await image.verify())).toMatchObject({ accepted: false, requirements: [{ type: 'reject' }] })
        const policy = await onlySigned(good)
        for (const asked of [name, image.id, 'localhost/mine:1'])
          expect(await runtime.images.verify(asked, { policy })).toMatchObject({ accepted: true, decisions: [{ signed: true }] })
        const stricter = { default: [await signedBy(good), await signedBy(other)] }
        expect(await image.verify({ policy: stricter })).toMatchObject({
          accepted: false,
          decisions: [{ requirements: [{ accepted: true }, { accepted: false, reason: expect.stringContaining('does not list') }] }],
        })
        expect(await failure(image.verify({ policy: stricter, throwIfDenied: true }))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
        expect(await failure(image.verify({ policy: { default: [] } }))).toMatchObject({ code: 'ERR_POLICY_INVALID' })
        await image.untag('localhost/mine:1')
        await image.remove()
        expect(await failure(image.verify())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
      })
    } finally {
      await pushSigned(name)
    }
  })

  it('are those that the policy asked for; asked for others, the answer is to pull again', async () => {
    await withPolicy(ACCEPT_ANYTHING, async (runtime) => {
      const image = await runtime.images.pull(name)
      const policy = await onlySigned(good)
      const before = await image.verify({ policy })
      expect(before.accepted).toBe(false)
      expect(reasons(firstOf(before))).toMatch(/none was fetched when the image came.*pull the image again/)
      await withPolicy(policy, (asking) => asking.images.pull(name))
      expect(await image.verify({ policy })).toMatchObject({ accepted: true })
      await runtime.images.pull(name)
      expect(await image.verify({ policy })).toMatchObject({ accepted: true })
      await image.remove()
    })
  })

  it('go into a directory and come back, where podman believes them too', async () => {
    const plain = `${registry.host}/team/plain:1`
    const layout = join(store.directory, 'layout')
    await writeOciLayout(layout, { tag: 'latest', layers: [{ tar: join(store.directory, 'layer.tar'), compression: 'none' }] })
    // Compressed layers are saved otherwise than they came, by a manifest that nobody has signed.
    const flags = ['--quiet', '--insecure-policy', '--dest-tls-verify=false', '--preserve-digests', '--sign-by', good]
    await signer.skopeo(['copy', ...flags, `oci:${layout}:latest`, `docker://${plain}`])
    const [path, archive] = [join(store.directory, 'saved'), join(store.directory, 'saved.tar')]
    await withPolicy(await onlySigned(good), async (runtime) => {
      const compressed = await runtime.images.pull(name)
      expect(await compressed.save({ format: 'dir', path: `${path}-compressed` })).toMatchObject([{ signatures: 0 }])
      const image = await runtime.images.pull(plain)
      expect(await image.save({ format: 'dir', path })).toMatchObject([{ signatures: 1 }])
      expect(await image.save({ format: 'oci-archive', path: archive })).toMatchObject([{ signatures: 0 }])
      expect(await readFile(join(path, 'signature-1'))).toEqual(await readFile(await signatureFile('plain')))
      for (const saved of [compressed, image]) await saved.remove()
    })
    const forImage = { ...(await signedBy(good)), signedIdentity: { type: 'exactReference', dockerReference: plain } }
    const forDirectory = { ...REJECT, transports: { dir: { [path]: [forImage] } } }
    await withPolicy(forDirectory, async (runtime) => {
      const loaded = await runtime.images.pull(`dir:${path}`)
      expect(await loaded.verify()).toMatchObject({ accepted: true, decisions: [{ signed: true, scope: { scope: path } }] })
      expect(await failure(runtime.images.load(archive))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
      await loaded.remove()
    })
    await withPolicy(ACCEPT_ANYTHING, async (runtime) => {
      const loaded = await runtime.images.pull(`dir:${path}`)
      expect(await loaded.verify({ policy: forDirectory })).toMatchObject({ accepted: true })
      expect(await loaded.save({ format: 'dir', path: `${path}-again` })).toMatchObject([{ signatures: 1 }])
      await loaded.remove()
    })
    const policy = join(store.directory, 'policy.json')
    await writeFile(policy, JSON.stringify({ default: [forImage] }))
    await signer.skopeo(['--policy', policy, 'copy', '--quiet', `dir:${path}-again`, `dir:${path}-skopeo`])
  })
})
