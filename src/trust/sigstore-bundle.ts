import type { TrustMaterial } from '@sigstore/verify'
import { errorMessage } from '../errors/errors.ts'
import { type BundleTrust, verifyBundle } from './bundle.ts'
import { asObject, parseJson } from './json-shape.ts'
import { readMaterial, unusable } from './material.ts'
import type { Material, SigstoreBundle } from './policy.ts'
import { readPublicKeys } from './public-key.ts'
import { Rejection } from './rejection.ts'
import { checkStatement } from './statement.ts'
import { firstAccepted } from './verdict.ts'
import type { Verifier } from './verifier.ts'

const TRUSTED_ROOT_TYPE = 'application/vnd.dev.sigstore.trustedroot'

/**
 * `sigstoreBundle`: a sigstore bundle of a statement of an accepted type about this manifest, signed by a key or by
 * a certificate with the given identity.
 *
 * The statement names no image: that the bundle was found beside the image in its repository is what ties it to
 * the name. The same holds for `cosign verify`. Use a key or identity for one repository only, or scopes that keep
 * repositories of different worth apart.
 */
export const sigstoreBundleVerifier: Verifier<SigstoreBundle> = {
  async verify(requirement, question) {
    const trust = await readBundleTrust(requirement, question.signal)
    return firstAccepted(
      {
        type: requirement.type,
        what: 'sigstore bundle',
        collect: question.evidence.bundles,
        check: async (bytes, digest) => {
          const { statement, signer } = await verifyBundle(bytes, trust)
          checkStatement(statement, { digest, predicateTypes: requirement.predicateTypes })
          return `bundle of type ${statement.predicateType} signed by ${signer}`
        },
      },
      question,
    )
  },
}

async function readBundleTrust(requirement: SigstoreBundle, signal: AbortSignal | undefined): Promise<BundleTrust> {
  const { keys, certificate, trustedRoot, thresholds } = requirement
  return {
    signer: certificate ? { certificate } : { keys: await readPublicKeys(keys ?? [], signal) },
    root: trustedRoot && (await readTrustedRoot(trustedRoot, signal)),
    thresholds,
    promiseOnly: false,
  }
}

// TUF is not spoken here: a trusted root is an input, so that verifying needs no network and no clock but the log's.
async function readTrustedRoot(material: Material, signal: AbortSignal | undefined): Promise<TrustMaterial> {
  const bytes = await readMaterial(material, signal)
  const { TrustedRoot } = await import('@sigstore/protobuf-specs')
  const { toTrustMaterial } = await import('@sigstore/verify')
  try {
    const document = asObject(parseJson(bytes, 'trusted root'), '$')
    if (!String(document.mediaType).startsWith(TRUSTED_ROOT_TYPE)) throw new Rejection('is not that of a trusted root', '$.mediaType')
    return toTrustMaterial(TrustedRoot.fromJSON(document))
  } catch (error) {
    throw unusable(material, `is not a sigstore trusted root: ${errorMessage(error).slice(0, 300)}`)
  }
}
