import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { parseReference } from '../../../src/spec/reference.ts'
import { insecureAcceptAnything, type Policy } from '../../../src/trust/policy.ts'
import { parsePolicy } from '../../../src/trust/policy-parse.ts'
import { assertTrusted, evaluate } from '../../../src/trust/trust.ts'
import { cosignAttachment, cosignPayload, signBundle, signCosign } from '../../helpers/sigstore-signer.ts'
import { ask, base64, INDEX, list, MANIFEST, NAME, OTHER, REFERENCE } from '../../helpers/trust-request.ts'
import { makeKey } from '../../helpers/x509-issuer.ts'

const accept = { type: 'insecureAcceptAnything' }
const reject = { type: 'reject' }
const key = makeKey()
const other = makeKey()
const byKey = (signer = key) => ({ type: 'sigstoreSigned', keyData: base64(signer.pem) })
const signed = (digest: string, signer = key) => signCosign(cosignPayload(digest, REFERENCE), { key: signer })
const identity = { transport: 'docker', reference: parseReference(REFERENCE) } as const

describe('a policy', () => {
  test('accepts what all of its requirements accept', async () => {
    expect((await ask({ requirements: [accept] })).accepted).toBe(true)
    expect((await ask({ requirements: [reject] })).accepted).toBe(false)
    expect((await ask({ requirements: [accept, reject] })).accepted).toBe(false)
    expect((await ask({ requirements: [reject, accept] })).accepted).toBe(false)
    expect((await ask({ requirements: [{ type: 'signedBaseLayer', baseLayerIdentity: { type: 'matchExact' } }] })).accepted).toBe(false)
  })

  test('asks for each requirement on its own: two keys need two signatures', async () => {
    const requirements = [byKey(key), byKey(other)]
    const attachment = (...signatures: ReturnType<typeof signed>[]) => ({ attachment: async () => cosignAttachment(signatures) })
    expect((await ask({ requirements, sources: attachment(signed(MANIFEST), signed(MANIFEST, other)) })).accepted).toBe(true)
    expect((await ask({ requirements, sources: attachment(signed(MANIFEST), signed(MANIFEST)) })).accepted).toBe(false)
  })

  test('without requirements, or with some that nobody knows, accepts nothing', async () => {
    const policy = (requirements: unknown) => ({ source: 'x', default: requirements, transports: new Map() }) as Policy
    const judge = (requirements: unknown) => evaluate({ policy: policy(requirements), identity, manifestDigest: MANIFEST, sources: {} })
    expect(await judge([])).toMatchObject({ accepted: false, objection: expect.stringContaining('no requirement') })
    expect((await judge([{ type: 'trustMe' }])).accepted).toBe(false)
  })

  test('can be told to want a signature at any rate', async () => {
    const unsigned = await ask({ requirements: [accept], requireSignature: true })
    expect(unsigned).toMatchObject({ accepted: false, signed: false, objection: expect.stringContaining('signature is required') })
    const sources = { attachment: async () => cosignAttachment([signed(MANIFEST)]) }
    expect(await ask({ requirements: [byKey()], sources, requireSignature: true })).toMatchObject({ accepted: true, signed: true })
  })

  test('that accepts anything has to be passed in so many words', async () => {
    const decision = await evaluate({ policy: insecureAcceptAnything(), identity, manifestDigest: MANIFEST, sources: {} })
    expect(decision).toMatchObject({ accepted: true, signed: false, policy: 'insecureAcceptAnything()' })
  })
})

describe('an image of an index', () => {
  const sources = (digest: string) => ({
    attachment: async (asked: string) => (asked === digest ? cosignAttachment([signed(digest)]) : undefined),
  })

  test('is accepted when its manifest is signed', async () => {
    expect(await ask({ requirements: [byKey()], sources: sources(MANIFEST), indexDigest: INDEX })).toMatchObject({
      accepted: true,
      requirements: [{ verifiedDigest: MANIFEST }],
    })
  })

  test('is accepted when the index through which it was selected is signed', async () => {
    expect(await ask({ requirements: [byKey()], sources: sources(INDEX), indexDigest: INDEX })).toMatchObject({
      accepted: true,
      manifestDigest: MANIFEST,
      indexDigest: INDEX,
      requirements: [{ verifiedDigest: INDEX }],
    })
  })

  test('is refused when another index is signed, or this one for another manifest', async () => {
    expect((await ask({ requirements: [byKey()], sources: sources(INDEX) })).accepted).toBe(false)
    expect((await ask({ requirements: [byKey()], sources: sources(OTHER), indexDigest: INDEX })).accepted).toBe(false)
    const mixed = { attachment: async () => cosignAttachment([signed(OTHER)]) }
    expect((await ask({ requirements: [byKey()], sources: mixed, indexDigest: INDEX })).accepted).toBe(false)
  })

  test('asked for by digest must have that digest, or be selected through it', async () => {
    const by = (digest: string) => ({ requirements: [accept], reference: `${NAME}@${digest}`, indexDigest: INDEX })
    expect((await ask(by(MANIFEST))).accepted).toBe(true)
    expect((await ask(by(INDEX))).accepted).toBe(true)
    await expect(ask(by(OTHER))).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })
})

describe('a denial', () => {
  test('becomes an error that names image, scope, policy and reasons, and has the decision', async () => {
    const policy = parsePolicy(
      { default: [reject], transports: { docker: { 'registry.test/team': [accept, byKey()] } } },
      '/etc/policy.json',
    )
    const decision = await evaluate({ policy, identity, manifestDigest: MANIFEST, sources: {} })
    const error = thrown(() => assertTrusted(decision))
    expect(isPodlibError(error, 'ERR_TRUST_DENIED') && error).toMatchObject({ kind: 'denied', details: { decision } })
    expect((error as Error).message).toBe(
      `image ${REFERENCE} is refused by scope "registry.test/team" of docker of the signature policy /etc/policy.json: ` +
        `sigstoreSigned: no sigstore signature exists for ${MANIFEST}`,
    )
    expect(() => JSON.stringify(decision)).not.toThrow()
  })

  test('is not made of an acceptance', async () => {
    const decision = await ask({ requirements: [accept] })
    expect(thrown(() => assertTrusted(decision))).toBeUndefined()
  })

  test('keeps text of strangers in quotes and short', async () => {
    const evil = `evil.test/x\n${'A'.repeat(5000)}`
    const sources = { attachment: async () => cosignAttachment([signCosign(cosignPayload(MANIFEST, evil), { key })]) }
    const decision = await ask({ requirements: [byKey()], sources })
    const { message } = thrown(() => assertTrusted(decision)) as Error
    expect(message).not.toContain('\n')
    expect(message.length).toBeLessThan(1000)
  })
})

describe('what is no verdict', () => {
  test('a source that cannot be reached is an error, even if another source has a good signature', async () => {
    const down = new Error('503')
    const sources = { attachment: () => Promise.reject(down), bundles: () => list([signBundle({ digest: MANIFEST, signer: { key } })]) }
    await expect(ask({ requirements: [byKey()], sources })).rejects.toBe(down)
  })

  test('an abort rejects with its reason', async () => {
    const reason = new Error('enough')
    await expect(ask({ requirements: [accept], signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const sources = {
      attachment: async () => {
        controller.abort(reason)
        return cosignAttachment([signed(MANIFEST)])
      },
    }
    await expect(ask({ requirements: [byKey()], sources, signal: controller.signal })).rejects.toBe(reason)
  })

  test('sources are only asked for what a requirement needs, and once', async () => {
    const asked: string[] = []
    const sources = {
      signatures: (digest: string) => {
        asked.push(`signatures ${digest}`)
        return list([])
      },
      attachment: async (digest: string) => {
        asked.push(`attachment ${digest}`)
        return cosignAttachment([signed(digest)])
      },
    }
    await ask({ requirements: [accept], sources })
    expect(asked).toEqual([])
    await ask({ requirements: [byKey(), byKey()], sources, indexDigest: INDEX })
    expect(asked).toEqual([`signatures ${MANIFEST}`, `attachment ${MANIFEST}`])
  })
})

test('a path is judged by where its symbolic links lead, not by where they stand', async () => {
  const root = await mkdtemp(join(tmpdir(), 'podlib-trust-'))
  try {
    await mkdir(join(root, 'trusted'))
    await mkdir(join(root, 'elsewhere'))
    await symlink(join(root, 'elsewhere'), join(root, 'trusted/image'))
    const policy = parsePolicy({ default: [reject], transports: { dir: { [join(root, 'trusted')]: [accept] } } })
    const judge = (path: string) => evaluate({ policy, identity: { transport: 'dir', path }, manifestDigest: MANIFEST, sources: {} })
    expect((await judge(join(root, 'trusted'))).accepted).toBe(true)
    expect((await judge(join(root, 'trusted/image'))).accepted).toBe(false)
    expect((await judge(join(root, 'trusted/../elsewhere'))).accepted).toBe(false)
  } finally {
    await rm(root, { recursive: true })
  }
})

function thrown(run: () => void): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}
