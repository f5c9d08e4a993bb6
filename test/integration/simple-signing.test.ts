import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { type Digest, digestOf } from '../../src/spec/digest.ts'
import { lacking } from '../helpers/abilities.ts'
import { type GpgSigner, openGpgSigner } from '../helpers/gpg-signer.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { ask, base64, NAME, REFERENCE, reasonsOf, signatureBlobs } from '../helpers/trust-request.ts'

/*
 * Signatures that gpg and skopeo made, as they would be fetched from a lookaside, and every way we can think of in
 * which one that should not count could be made to.
 */

const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf('{}'), size: 2 },
    layers: [],
  }),
)
const manifestDigest = digestOf(manifest)

const NEEDS = ['gpg', 'skopeo'] as const
const check = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)

let signer: GpgSigner
let good: string
let rsa: string
let goodSignature: Buffer

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  signer = await openGpgSigner()
  good = await signer.makeKey('good <good@example.test>', 'ed25519')
  rsa = await signer.makeKey('rsa <rsa@example.test>', 'rsa3072')
  goodSignature = await signer.sign(manifest, REFERENCE, good)
})

afterAll(() => signer?.close())

interface Judge {
  readonly keys?: readonly string[]
  readonly digest?: Digest
  readonly reference?: string
  readonly requirement?: object
}

/** Judges signatures with a requirement for the good key. */
async function judge(signatures: readonly Uint8Array[], { keys = [good], digest = manifestDigest, reference, requirement }: Judge = {}) {
  const keyData = base64(await signer.exportKeys(...keys))
  return ask({
    requirements: [requirement ?? { type: 'signedBy', keyType: 'GPGKeys', keyData }],
    sources: signatureBlobs({ [digest]: signatures }),
    manifestDigest: digest,
    ...(reference !== undefined && { reference }),
  })
}

async function expectRefusal(signatures: readonly Uint8Array[], reason: RegExp, request: Judge = {}): Promise<void> {
  const decision = await judge(signatures, request)
  expect(decision.accepted).toBe(false)
  expect(reasonsOf(decision)).toMatch(reason)
}

/** A payload as skopeo writes it. */
function payload(digest: string = manifestDigest, reference = REFERENCE): Buffer {
  const critical = {
    type: 'atomic container signature',
    image: { 'docker-manifest-digest': digest },
    identity: { 'docker-reference': reference },
  }
  return Buffer.from(JSON.stringify({ critical, optional: {} }))
}

const inline = (text: Uint8Array, key = good, ...options: readonly string[]) =>
  signer.gpg([...options, '--local-user', key, '--sign'], text)

describe('a signature of skopeo', () => {
  check('is accepted, and the decision says who signed what', async () => {
    const decision = await judge([goodSignature])
    expect(decision).toMatchObject({
      accepted: true,
      signed: true,
      requirements: [{ verifiedDigest: manifestDigest, reason: `signed by OpenPGP key ${good} as ${REFERENCE}` }],
    })
  })

  check('by an RSA key is accepted, and so is one of several keys and signatures', async () => {
    const byRsa = await signer.sign(manifest, REFERENCE, rsa)
    expect((await judge([byRsa], { keys: [rsa] })).accepted).toBe(true)
    const keyDatas = await Promise.all([rsa, good].map((key) => signer.exportKeys(key)))
    const directory = await mkdtemp(join(tmpdir(), 'podlib-keys-'))
    try {
      const keyPaths = await Promise.all(
        keyDatas.map(async (bytes, index) => {
          await writeFile(join(directory, `${index}.gpg`), bytes)
          return join(directory, `${index}.gpg`)
        }),
      )
      const paths = { type: 'signedBy', keyType: 'GPGKeys', keyPaths }
      expect((await judge([Buffer.from('\x88junk', 'latin1'), goodSignature], { requirement: paths })).accepted).toBe(true)
      const path = { type: 'signedBy', keyType: 'GPGKeys', keyPath: keyPaths[0] }
      expect((await judge([goodSignature], { requirement: path })).accepted).toBe(false)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  check('of skopeo copy --sign-by to a directory is accepted', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'podlib-dir-'))
    try {
      const { source, copy } = { source: join(directory, 'source'), copy: join(directory, 'copy') }
      await writeDirImage(source)
      const policy = join(directory, 'policy.json')
      await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
      const sign = ['--sign-by', good, '--sign-identity', REFERENCE]
      await signer.skopeo(['--policy', policy, 'copy', '--quiet', ...sign, `dir:${source}`, `dir:${copy}`])
      const [signature, digest] = [await readFile(join(copy, 'signature-1')), digestOf(await readFile(join(copy, 'manifest.json')))]
      expect((await judge([signature], { digest })).accepted).toBe(true)
      await expectRefusal([signature], /it signs sha256/)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  check('armoured keys may stand in the policy', async () => {
    const keyData = base64(await signer.gpg(['--armor', '--export', good]))
    expect((await judge([goodSignature], { requirement: { type: 'signedBy', keyType: 'GPGKeys', keyData } })).accepted).toBe(true)
  })

  check('by a signing subkey is attributed to its primary key', async () => {
    await signer.gpg(['--quick-add-key', rsa, 'ed25519', 'sign', 'never'])
    const signature = await inline(payload(), rsa)
    expect(await judge([signature], { keys: [rsa] })).toMatchObject({
      accepted: true,
      requirements: [{ reason: expect.stringContaining(rsa) }],
    })
  })
})

describe('a signature is refused', () => {
  check('when there is none', () => expectRefusal([], /no OpenPGP signature exists/))

  check('by a key that the policy does not list', () =>
    expectRefusal([goodSignature], /policy does not list the signing key/, { keys: [rsa] }),
  )

  check('by a key that has expired, even if it was valid when it signed', async () => {
    const key = await signer.makeKey('expired <expired@example.test>', 'ed25519', 'seconds=86400', '20200101T000000')
    const signature = await inline(payload(), key, '--faked-system-time', '20200101T010000')
    await expectRefusal([signature], /key has expired/, { keys: [key] })
  })

  check('that has expired itself', async () => {
    const old = await signer.makeKey('old <old@example.test>', 'ed25519', 'never', '20200101T000000')
    const signature = await inline(payload(), old, '--faked-system-time', '20200101T010000', '--default-sig-expire', '1d')
    await expectRefusal([signature], /signature has expired/, { keys: [old] })
  })

  check('by a key that was revoked', async () => {
    const key = await signer.makeKey('revoked <revoked@example.test>', 'ed25519')
    const signature = await inline(payload(), key)
    expect((await judge([signature], { keys: [key] })).accepted).toBe(true)
    const certificate = await readFile(join(signer.home, 'openpgp-revocs.d', `${key}.rev`), 'utf8')
    await signer.gpg(['--import'], Buffer.from(certificate.replace(':-----BEGIN', '-----BEGIN')))
    await expectRefusal([signature], /key has been revoked/, { keys: [key] })
  })

  check('for another digest, tag, repository or registry', async () => {
    await expectRefusal([goodSignature], /it signs sha256/, { digest: digestOf('other') })
    for (const reference of [`${NAME}:2`, `${NAME}2:1`, 'evil.test/team/app:1', 'registry.test:5000/team/app:1']) {
      await expectRefusal([goodSignature], /matchRepoDigestOrExact does not accept/, { reference })
    }
    expect((await judge([goodSignature], { reference: `${NAME}@${manifestDigest}` })).accepted).toBe(true)
  })

  check('that was cut anywhere', async () => {
    for (const length of [1, 2, 10, 100, goodSignature.length - 60, goodSignature.length - 1]) {
      expect((await judge([goodSignature.subarray(0, length)])).accepted).toBe(false)
    }
  })

  check('that was changed anywhere', async () => {
    const plain = await inline(payload(), good, '--compress-algo', 'none')
    expect((await judge([plain])).accepted).toBe(true)
    // What stands before the document (the name and date of a file) is not covered by a signature, and not used.
    const start = plain.indexOf('{"critical"')
    for (const place of [start, start + 60, start + 150, plain.length - 40, plain.length - 5]) {
      const changed = Buffer.from(plain)
      changed[place] = (changed[place] ?? 0) ^ 1
      expect((await judge([changed])).accepted).toBe(false)
    }
  })

  check('that is followed or preceded by anything', async () => {
    const literal = await signer.gpg(['--store', '--compress-algo', 'none'], payload())
    await expectRefusal([Buffer.concat([goodSignature, goodSignature])], /./)
    await expectRefusal([Buffer.concat([goodSignature, literal])], /./)
    await expectRefusal([Buffer.concat([literal, goodSignature])], /not a binary OpenPGP signed message/)
    await expectRefusal([Buffer.concat([goodSignature, payload()])], /./)
    await expectRefusal([Buffer.concat([payload(), goodSignature])], /not a binary OpenPGP signed message/)
  })

  check('whose document is followed by another JSON document', () =>
    inline(Buffer.concat([payload(), payload()])).then((message) => expectRefusal([message], /JSON/)),
  )

  check('that two keys made over one document', async () => {
    const two = await signer.gpg(['--local-user', good, '--local-user', rsa, '--sign'], payload())
    await expectRefusal([two], /exactly one signature/, { keys: [good, rsa] })
    await expectRefusal([two], /./)
  })

  check('that does not contain what it signs, or in clear text, or armoured', async () => {
    const options = ['--local-user', good]
    await expectRefusal([await signer.gpg([...options, '--detach-sign'], payload())], /./)
    await expectRefusal([await signer.gpg([...options, '--clear-sign'], payload())], /not a binary OpenPGP/)
    await expectRefusal([await signer.gpg([...options, '--armor', '--sign'], payload())], /not a binary OpenPGP/)
  })

  check('that is no signature: literal data, encrypted data, a key', async () => {
    await expectRefusal([await signer.gpg(['--store'], payload())], /./)
    await expectRefusal(
      [await signer.gpg(['--symmetric', '--pinentry-mode', 'loopback', '--passphrase', 'x'], payload())],
      /not a binary OpenPGP/,
    )
    await expectRefusal([await signer.exportKeys(good)], /not a binary OpenPGP/)
  })

  check('that uses SHA-1', async () => expectRefusal([await inline(payload(), rsa, '--digest-algo', 'SHA1')], /weak hash/, { keys: [rsa] }))

  check('that unpacks to gigabytes, without unpacking it', async () => {
    const bomb = await inline(Buffer.alloc(64 << 20, ' '), good, '--compress-algo', 'zlib', '--compress-level', '9')
    expect(bomb.length).toBeLessThan(1 << 20)
    await expectRefusal([bomb], /./)
  })
})

check('a policy whose key file holds no key is an error, not a verdict', async () => {
  const judged = judge([goodSignature], { requirement: { type: 'signedBy', keyType: 'GPGKeys', keyData: base64('no key') } })
  await expect(judged).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID', message: expect.stringContaining('no OpenPGP public key') })
})

check('without gpg a signature is an error that says what to install, and an unsigned image is refused all the same', async () => {
  const requirements = [{ type: 'signedBy', keyType: 'GPGKeys', keyData: base64(await signer.exportKeys(good)) }]
  const gpg = { gpgPath: '/nonexistent/gpg' }
  const asked = ask({ requirements, gpg, manifestDigest, sources: signatureBlobs({ [manifestDigest]: [goodSignature] }) })
  await expect(asked).rejects.toMatchObject({ code: 'ERR_PROGRAM_MISSING', message: expect.stringContaining('install') })
  expect((await ask({ requirements, gpg, manifestDigest })).accepted).toBe(false)
})

check('nothing is left in the temporary directory, after an abort neither', async () => {
  const temporaryDirectory = await mkdtemp(join(tmpdir(), 'podlib-gpg-'))
  try {
    const keyData = base64(await signer.exportKeys(good))
    const request = { requirements: [{ type: 'signedBy', keyType: 'GPGKeys', keyData }], manifestDigest, gpg: { temporaryDirectory } }
    const sources = signatureBlobs({ [manifestDigest]: Array.from({ length: 20 }, () => Buffer.from(goodSignature.subarray(0, 90))) })
    expect((await ask({ ...request, sources })).accepted).toBe(false)
    expect(await readdir(temporaryDirectory)).toEqual([])
    await expect(ask({ ...request, sources, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(await readdir(temporaryDirectory)).toEqual([])
  } finally {
    await rm(temporaryDirectory, { recursive: true })
  }
})

async function writeDirImage(directory: string): Promise<void> {
  const { mkdir } = await import('node:fs/promises')
  await mkdir(directory)
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }))
  const [type, digest] = ['application/vnd.oci.image', digestOf(config)]
  const image = {
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config: { mediaType: `${type}.config.v1+json`, digest, size: config.length },
    layers: [],
  }
  await writeFile(join(directory, 'manifest.json'), JSON.stringify(image))
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.1\n')
  await writeFile(join(directory, digest.slice('sha256:'.length)), config)
}
