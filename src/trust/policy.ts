/** Key material of a policy: a file that is read when it is needed, or the bytes themselves. @public */
export type Material = { readonly path: string } | { readonly data: Buffer }

/** Which image name a signature must carry. @see man 5 containers-policy.json @public */
export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string }

/** One OpenPGP "simple signing" signature by one of the keys. @public */
export interface SignedBy {
  readonly type: 'signedBy'
  readonly keys: readonly Material[]
  readonly signedIdentity: SignedIdentity
}

/** Who may sign with a certificate that a Fulcio CA gave out. @public */
export interface FulcioSigner {
  readonly ca: Material
  readonly oidcIssuer: string
  readonly subjectEmail: string
}

/** Who may sign with a certificate of a CA of one's own. @public */
export interface PkiSigner {
  readonly roots: Material
  readonly intermediates: Material | undefined
  readonly subjectEmail: string | undefined
  readonly subjectHostname: string | undefined
}

/** One sigstore (cosign) signature by a key, a Fulcio identity or a PKI identity: exactly one of the three. @public */
export interface SigstoreSigned {
  readonly type: 'sigstoreSigned'
  readonly keys: readonly Material[] | undefined
  readonly fulcio: FulcioSigner | undefined
  readonly pki: PkiSigner | undefined
  /** Empty: no transparency log is asked for. Never empty with `fulcio`. */
  readonly rekorKeys: readonly Material[]
  readonly signedIdentity: SignedIdentity
}

/** The identity a signing certificate of a bundle must carry. @public */
export interface CertificateSigner {
  /** The only subject alternative name (e-mail or URI): the exact text, or a pattern for the whole of it. */
  readonly identity: string | RegExp
  /** The OIDC issuer that vouched for it. */
  readonly issuer: string
}

/**
 * One sigstore bundle, as cosign 3 writes by default. A requirement of podlib: other programs refuse a
 * policy.json that has it, so keep it in a file or object of your own.
 *
 * @public
 */
export interface SigstoreBundle {
  readonly type: 'sigstoreBundle'
  readonly keys: readonly Material[] | undefined
  readonly certificate: CertificateSigner | undefined
  /** A sigstore `trusted_root.json`. Always there with `certificate`. */
  readonly trustedRoot: Material | undefined
  readonly predicateTypes: readonly string[]
  readonly thresholds: { readonly tlog: number; readonly timestamp: number; readonly sct: number }
}

/** @public */
export type Requirement =
  | { readonly type: 'insecureAcceptAnything' | 'reject' | 'signedBaseLayer' }
  | SignedBy
  | SigstoreSigned
  | SigstoreBundle

/** @public */
export type Requirements = readonly Requirement[]

/** A signature verification policy, checked. Made by `loadPolicy`, `parsePolicy` or {@link insecureAcceptAnything}. @public */
export interface Policy {
  /** Where it came from, for messages. */
  readonly source: string
  readonly default: Requirements
  /** Requirements by transport, then by scope; scope `""` is the default of its transport. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, Requirements>>
}

/** The predicate type of what `cosign sign` of cosign 3 signs. @public */
export const COSIGN_SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1'

/** The policy of callers who decide that no image needs a signature. It has to be passed; it is never a default. @public */
export function insecureAcceptAnything(): Policy {
  return { source: 'insecureAcceptAnything()', default: [{ type: 'insecureAcceptAnything' }], transports: new Map() }
}
