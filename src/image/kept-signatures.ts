import type { Digest } from '../spec/digest.ts'
import { formatReference, parseReference } from '../spec/reference.ts'
import type { KeptAnswer } from '../trust/kept-evidence.ts'
import { TRUST_LIMITS } from '../trust/limits.ts'
import type { ImageIdentity } from '../trust/scopes.ts'

/*
 * What is kept with a manifest (`image_manifests.signatures`), so that another policy can be asked later without a
 * network: where the image came from, and what was fetched then to judge it. Nothing is fetched only to be kept: what the
 * policy did not ask for is not there, and is told as such when it is asked for later. JSON, null where nothing is known:
 *
 *   { "version": 1,
 *     "origins": [                                                      the last one is the newest
 *       { "identity": { "transport": "docker", "reference": "registry.test/team/app:1" },
 *         "indexDigest": "sha256:...",                                  if the manifest was chosen through an index
 *         "answers": [ { "kind": "signatures", "digest": "sha256:...", "items": ["<base64>"] } ] } ] }
 *
 * `kind` is `signatures` (of a lookaside, or files beside the image), `attachment` (cosign 2; items as containers/image
 * stores them: a zero byte, `sigstore-json`, a line feed and payload with annotations) or `bundles` (sigstore). `digest` is
 * the manifest's or the index's. Each origin has its own, as a bundle says of no name but that it was found there.
 */

const VERSION = 1
const MAX_ORIGINS = 8

/** Where an image came from, and what was fetched to judge it. */
export interface KeptOrigin {
  /** Paths are resolved. */
  readonly identity: ImageIdentity
  /** The index through which the manifest was chosen. */
  readonly indexDigest: Digest | undefined
  readonly answers: readonly KeptAnswer[]
}

interface StoredOrigin {
  readonly identity: { readonly transport: string; readonly reference?: string }
  readonly indexDigest?: Digest
  readonly answers: readonly KeptAnswer[]
}

/** The column's value after an image came from somewhere: what was known of the same place and is not known anew stays. */
export function addOrigin(column: unknown, origin: KeptOrigin): unknown {
  const key = originKey(origin)
  const before = storedOrigins(column)
  const same = before.find((other) => JSON.stringify(other.identity) === key)
  const older = same?.answers.filter(({ kind, digest }) => !origin.answers.some((now) => now.kind === kind && now.digest === digest)) ?? []
  const newest: StoredOrigin = {
    identity: storedIdentity(origin.identity),
    ...(origin.indexDigest && { indexDigest: origin.indexDigest }),
    answers: [...origin.answers, ...older],
  }
  const origins = [newest, ...before.filter((other) => other !== same).reverse()].slice(0, MAX_ORIGINS)
  return { version: VERSION, origins: bounded(origins).reverse() }
}

/** What the column tells, the newest last. Nothing for null and for what another version wrote. */
export function readOrigins(column: unknown): KeptOrigin[] {
  return storedOrigins(column).map(({ identity, indexDigest, answers }) => ({ identity: identityOf(identity), indexDigest, answers }))
}

/** Tells origins apart. */
export function originKey({ identity }: KeptOrigin): string {
  return JSON.stringify(storedIdentity(identity))
}

/** Signatures of a manifest as files beside it (`signature-1`), from wherever they came, each once. */
export function signatureFiles(column: unknown, digest: Digest): Buffer[] {
  const items = storedOrigins(column).flatMap(({ answers }) =>
    answers.filter((answer) => answer.digest === digest && answer.kind !== 'bundles').flatMap((answer) => answer.items),
  )
  return [...new Set(items)].slice(0, TRUST_LIMITS.signatures).map((item) => Buffer.from(item, 'base64'))
}

function storedOrigins(column: unknown): readonly StoredOrigin[] {
  const kept = column as { readonly version?: unknown; readonly origins?: readonly StoredOrigin[] } | null
  return kept?.version === VERSION && kept.origins ? kept.origins : []
}

/** The newest first: older ones give way. */
function bounded(origins: readonly StoredOrigin[]): StoredOrigin[] {
  let room: number = TRUST_LIMITS.keptBytes
  const fits = ({ items }: KeptAnswer) => {
    const size = items.reduce((sum, item) => sum + item.length, 0)
    if (size > room) return false
    room -= size
    return true
  }
  return origins.map((origin) => ({ ...origin, answers: origin.answers.filter(fits) }))
}

function storedIdentity(identity: ImageIdentity): StoredOrigin['identity'] {
  const { reference, ...rest } = { reference: undefined, ...identity }
  return { ...rest, ...(reference && { reference: formatReference(reference) }) }
}

function identityOf({ reference, ...rest }: StoredOrigin['identity']): ImageIdentity {
  return { ...rest, ...(reference !== undefined && { reference: parseReference(reference) }) } as ImageIdentity
}
