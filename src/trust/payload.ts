import { type Digest, isDigest } from '../spec/digest.ts'
import { asInteger, asLiteral, asObject, asText, exactMembers, parseJson } from './json-shape.ts'
import { Rejection } from './rejection.ts'

/** What a simple-signing payload claims. */
export interface SignedClaim {
  readonly manifestDigest: Digest
  readonly dockerReference: string
}

/** `atomic container signature` is signed with OpenPGP, `cosign container image signature` by cosign. */
export type PayloadType = 'atomic container signature' | 'cosign container image signature'

/**
 * Reads a verified payload. Members inside `critical` that we do not know are restrictions that we cannot keep:
 * they refuse the signature. `optional` is free, but what is known there has its type.
 *
 * @see man 5 containers-signature
 */
export function parsePayload(bytes: Uint8Array, type: PayloadType): SignedClaim {
  const root = exactMembers(parseJson(bytes, 'signed payload'), '$', { required: ['critical', 'optional'] })
  const critical = exactMembers(root.critical, '$.critical', { required: ['type', 'image', 'identity'] })
  asLiteral(critical.type, type, '$.critical.type')
  const image = exactMembers(critical.image, '$.critical.image', { required: ['docker-manifest-digest'] })
  const identity = exactMembers(critical.identity, '$.critical.identity', { required: ['docker-reference'] })
  checkOptional(root.optional, type)
  const manifestDigest = image['docker-manifest-digest']
  if (!isDigest(manifestDigest)) throw new Rejection('must be a digest', '$.critical.image.docker-manifest-digest')
  return { manifestDigest, dockerReference: asText(identity['docker-reference'], '$.critical.identity.docker-reference') }
}

function checkOptional(value: unknown, type: PayloadType): void {
  // cosign writes null where it has nothing to say.
  if (value === null && type === 'cosign container image signature') return
  const optional = asObject(value, '$.optional')
  if (Object.hasOwn(optional, 'creator') && typeof optional.creator !== 'string')
    throw new Rejection('must be a string', '$.optional.creator')
  if (Object.hasOwn(optional, 'timestamp')) asInteger(optional.timestamp, '$.optional.timestamp')
}
