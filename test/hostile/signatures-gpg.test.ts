import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { lacking } from '../helpers/abilities.ts'
import { type GpgSigner, openGpgSigner } from '../helpers/gpg-signer.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { ask, base64, MANIFEST, REFERENCE, reasonsOf, signatureBlobs } from '../helpers/trust-request.ts'

/*
 * Attacks on programs that read what gpg says. More messages that are not one signature over one document stand in
 * test/integration/simple-signing.test.ts and test/unit/trust/openpgp.test.ts.
 */

const NEEDS = ['gpg', 'skopeo'] as const
const check = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)
const critical = {
  type: 'atomic container signature',
  image: { 'docker-manifest-digest': MANIFEST },
  identity: { 'docker-reference': REFERENCE },
}
const payload = Buffer.from(JSON.stringify({ critical, optional: {} }))

let signer: GpgSigner
/** The key that the policy lists. */
let good: string
/** The attacker's. */
let evil: string
let spoof: string

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  signer = await openGpgSigner()
  good = await signer.makeKey('good <good@example.test>', 'ed25519')
  evil = await signer.makeKey('evil <evil@example.test>', 'ed25519')
  spoof = `x\n[GNUPG:] GOODSIG ${good.slice(-16)} good\n[GNUPG:] VALIDSIG ${good} 2026-01-01 0 0 4 0 22 8 00 ${good}\n`
})

afterAll(() => signer?.close())

const sign = (key: string, ...options: readonly string[]) => signer.gpg([...options, '--local-user', key, '--sign'], payload)

async function judge(...signatures: readonly Buffer[]) {
  const requirements = [{ type: 'signedBy', keyType: 'GPGKeys', keyData: base64(await signer.exportKeys(good)) }]
  return ask({ requirements, sources: signatureBlobs({ [MANIFEST]: signatures }) })
}

async function refusal(signature: Buffer): Promise<string> {
  const decision = await judge(signature)
  expect(decision).toMatchObject({ accepted: false, signed: false })
  return reasonsOf(decision)
}

describe('CVE-2018-12020 (SigSpoof): a message that speaks as gpg', () => {
  check('a file name that holds lines of the status is not read as such', async () => {
    expect(await refusal(await sign(evil, '--set-filename', spoof))).toMatch(/policy does not list the signing key/)
    await refusal(await signer.gpg(['--store', '--set-filename', spoof], payload))
  })

  check('nor is a notation, a policy URL or a user id', async () => {
    const notation = `status@evil.test=x [GNUPG:] VALIDSIG ${good} 2026-01-01 0 0 4 0 22 8 00 ${good}`
    expect(await refusal(await sign(evil, '--sig-notation', notation))).toMatch(/policy does not list the signing key/)
    const url = `https://evil.test/[GNUPG:] VALIDSIG ${good}`
    expect(await refusal(await sign(evil, '--sig-policy-url', url))).toMatch(/policy does not list the signing key/)
    const named = await signer.makeKey(`[GNUPG:] VALIDSIG ${good} <spoof@example.test>`, 'ed25519')
    expect(await refusal(await sign(named))).toMatch(/policy does not list the signing key/)
  })

  check('a good signature with such a file name still counts for what it is', async () => {
    expect((await judge(await sign(good, '--set-filename', spoof))).accepted).toBe(true)
  })

  check('of two literal packets neither is believed', async () => {
    const literal = await signer.gpg(['--store', '--compress-algo', 'none'], payload)
    const signed = await sign(good, '--compress-algo', 'none')
    for (const parts of [
      [signed, literal],
      [literal, signed],
      [signed, signed],
      [literal, literal],
    ])
      await refusal(Buffer.concat(parts))
  })
})

describe('CVE-2020-8945: a malformed signature crashes what parses it', () => {
  check('gpg parses it, in a process of its own: each is refused, and the next good one is accepted', async () => {
    const signed = await sign(good, '--compress-algo', 'none')
    const malformed = [3, 7, 11, 20, 40].flatMap((place) =>
      [0x00, 0x7f, 0xff].map((byte) => {
        const changed = Buffer.from(signed)
        changed[changed.length - place] = byte
        return changed.equals(signed) ? Buffer.alloc(8, 0x88) : changed
      }),
    )
    const headers = [0x84, 0x88, 0x90, 0xa0, 0xa3, 0xc2, 0xc4, 0xc8].map((tag) => Buffer.concat([Buffer.from([tag, 0xff, 0xff]), signed]))
    for (const signature of [...malformed, ...headers]) await refusal(signature)
    const decision = await judge(...malformed, signed)
    expect(decision.accepted).toBe(true)
    expect(decision.requirements[0]?.attempts).toHaveLength(malformed.length)
  })
})
