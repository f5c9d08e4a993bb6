import { describe, expect, test } from '@jest/globals'
import { type KeptAnswer, recordSources, replaySources } from '../../../src/trust/kept-evidence.ts'
import type { SignatureSources } from '../../../src/trust/sources.ts'
import type { TrustDecision } from '../../../src/trust/verifier.ts'
import { cosignAttachment, cosignPayload, signBundle, signCosign } from '../../helpers/sigstore-signer.ts'
import {
  ask,
  base64,
  bundleSources,
  cosignSources,
  INDEX,
  list,
  MANIFEST,
  OTHER,
  REFERENCE,
  reasonsOf,
  signatureBlobs,
} from '../../helpers/trust-request.ts'
import { makeKey } from '../../helpers/x509-issuer.ts'

const key = makeKey()
const cosign = { type: 'sigstoreSigned', keyData: base64(key.pem) }
const bundle = { type: 'sigstoreBundle', keyData: base64(key.pem) }
const openPgp = { type: 'signedBy', keyType: 'GPGKeys', keyData: base64('key') }
const ALL = ['signatures', 'attachment', 'bundles'] as const
const SIGNED = signCosign(cosignPayload(MANIFEST, REFERENCE), { key })
const everything: SignatureSources = {
  signatures: () => list([Buffer.from([0x88, 0])]),
  ...cosignSources(SIGNED),
  bundles: (digest) => list(digest === MANIFEST ? [signBundle({ digest, signer: { key } })] : []),
}

/** A decision with sources, and what was kept of them, as it comes back from a database. */
async function recorded(requirements: readonly object[], sources: SignatureSources = everything) {
  const { sources: recording, answers } = recordSources(sources)
  const decision = await ask({ requirements, sources: recording, indexDigest: INDEX })
  return { decision, answers: JSON.parse(JSON.stringify(answers())) as KeptAnswer[] }
}

const again = (
  requirements: readonly object[],
  answers: readonly KeptAnswer[],
  kinds: readonly KeptAnswer['kind'][] = ALL,
): Promise<TrustDecision> => ask({ requirements, sources: replaySources(answers, kinds), indexDigest: INDEX })

describe('what was fetched to judge an image', () => {
  test.each<[string, object]>([
    ['an attachment of cosign 2', cosign],
    ['a bundle of cosign 3', bundle],
  ])('%s is judged again as it was', async (_, requirement) => {
    const { decision, answers } = await recorded([requirement])
    expect(decision).toMatchObject({ accepted: true, signed: true })
    expect(await again([requirement], answers)).toEqual(decision)
    const other = { ...requirement, keyData: base64(makeKey().pem) }
    expect((await again([other], answers)).accepted).toBe(false)
  })

  test('is what the policy asked for, and nothing else', async () => {
    expect((await recorded([{ type: 'insecureAcceptAnything' }])).answers).toEqual([])
    const { answers } = await recorded([bundle])
    expect(answers.map(({ kind, digest }) => [kind, digest])).toEqual([['bundles', MANIFEST]])
    expect((await recorded([cosign])).answers.map(({ kind, items }) => [kind, items.length])).toEqual([
      ['signatures', 1],
      ['attachment', 1],
    ])
  })

  test('does not answer what was not asked then, and says so', async () => {
    const { answers } = await recorded([bundle])
    for (const requirement of [cosign, openPgp]) {
      const decision = await again([requirement], answers)
      expect(decision.accepted).toBe(false)
      expect(reasonsOf(decision)).toMatch(/none was fetched when the image came/)
    }
    expect(reasonsOf(await again([openPgp], answers, ['bundles']))).toMatch(/^no OpenPGP signature exists/)
  })

  test('belongs to its digest', async () => {
    const { answers } = await recorded([bundle])
    const moved = answers.map((answer) => ({ ...answer, digest: OTHER }))
    expect((await again([bundle], moved)).accepted).toBe(false)
  })

  test('is not kept when there was more than is looked at', async () => {
    const { decision, answers } = await recorded([bundle], bundleSources({ [MANIFEST]: Array(200).fill(Buffer.from('{}')) }))
    expect(decision.accepted).toBe(false)
    expect(answers[0]).toEqual({ kind: 'bundles', digest: MANIFEST, items: [], missing: expect.stringContaining('than are looked at') })
    expect(reasonsOf(await again([bundle], answers))).toMatch(/more or larger signatures than are looked at/)
  })

  test('is kept up to a bound; what fits counts, and what does not is told', async () => {
    const good = signBundle({ digest: MANIFEST, signer: { key } })
    const large = Array.from({ length: 4 }, () => Buffer.alloc(1 << 20, '{'))
    const { answers } = await recorded([bundle], bundleSources({ [MANIFEST]: [...large, good] }))
    expect(answers[0]?.items.map((item) => item.length > 1 << 20)).toEqual([true, true, false])
    expect((await again([bundle], answers)).accepted).toBe(true)
    const other = await again([{ ...bundle, keyData: base64(makeKey().pem) }], answers)
    expect(reasonsOf(other)).toMatch(/too large to be kept/)
  })

  test('holds no payload that is not the one that its manifest names', async () => {
    const attachment = async () => ({ ...cosignAttachment([SIGNED]), blob: async () => Buffer.from('other') })
    expect((await recorded([cosign], { attachment })).answers.map(({ items }) => items)).toEqual([[], []])
  })

  test('comes from a source that fails as a failure', async () => {
    const signatures = async function* () {
      yield Buffer.from([0x88, 0])
      throw new Error('unreachable')
    }
    await expect(recorded([openPgp], { signatures })).rejects.toThrow('unreachable')
  })

  test('of files beside an image is judged again too', async () => {
    const { answers } = await recorded([cosign])
    const files = answers.flatMap(({ items }) => items.map((item) => Buffer.from(item, 'base64')))
    expect((await ask({ requirements: [cosign], sources: signatureBlobs({ [MANIFEST]: files }) })).accepted).toBe(true)
  })
})
