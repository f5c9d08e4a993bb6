import { MEDIA_TYPES } from '../spec/media-types.ts'
import type { CosignSignature } from './cosign.ts'
import { asBase64, asObject, exactMembers, parseJson } from './json-shape.ts'
import { Rejection } from './rejection.ts'

/** A signature file as containers/image stores it in a lookaside or beside a `dir:` image. */
export type SignatureBlob =
  | { readonly kind: 'simple-signing'; readonly message: Buffer }
  | { readonly kind: 'sigstore'; readonly signature: CosignSignature }

/** OpenPGP packets a signed message may begin with: signature, one-pass signature, compressed data (RFC 4880, 4.3). */
const MESSAGE_TAGS: ReadonlySet<number> = new Set([2, 4, 8])

/**
 * Tells the formats apart. A first byte with the high bit set is a binary OpenPGP packet; a zero byte is followed
 * by the name of the format and a line feed. ASCII armour is no format here: gpg would skip text around it.
 */
export function parseSignatureBlob(bytes: Buffer): SignatureBlob {
  const first = bytes[0]
  if (first === undefined) throw new Rejection('the signature is empty')
  if (first !== 0) return { kind: 'simple-signing', message: openPgp(bytes, first) }
  const newline = bytes.subarray(0, 64).indexOf(0x0a)
  const format = newline < 0 ? '' : bytes.subarray(1, newline).toString('latin1')
  const content = bytes.subarray(newline + 1)
  if (format === 'simple-signing') return { kind: 'simple-signing', message: openPgp(content, content[0] ?? 0) }
  if (format === 'sigstore-json') return { kind: 'sigstore', signature: parseStored(content) }
  throw new Rejection('the signature has an unknown format')
}

function openPgp(message: Buffer, first: number): Buffer {
  const tag = first & 0x40 ? first & 0x3f : (first >> 2) & 0x0f
  if (!(first & 0x80) || !MESSAGE_TAGS.has(tag)) throw new Rejection('the signature is not a binary OpenPGP signed message')
  return message
}

function parseStored(content: Buffer): CosignSignature {
  const object = exactMembers(parseJson(content, 'stored signature'), '$', { required: ['mimeType', 'payload', 'annotations'] })
  if (object.mimeType !== MEDIA_TYPES.cosignSignature) throw new Rejection('the stored signature is of another type', '$.mimeType')
  const annotations = Object.entries(asObject(object.annotations, '$.annotations'))
  return {
    payload: asBase64(object.payload, '$.payload'),
    annotations: new Map(annotations.map(([name, text]) => [name, asAnnotation(text)])),
  }
}

// Other annotations than those of the signature may well be empty.
function asAnnotation(value: unknown): string {
  if (typeof value !== 'string') throw new Rejection('must be a string', '$.annotations')
  return value
}

/** A cosign signature as containers/image stores it: payload and annotations, without the attachment they came in. */
export function formatStored({ payload, annotations }: CosignSignature): Buffer {
  const document = {
    mimeType: MEDIA_TYPES.cosignSignature,
    payload: payload.toString('base64'),
    annotations: Object.fromEntries(annotations),
  }
  return Buffer.concat([Buffer.from('\0sigstore-json\n'), Buffer.from(JSON.stringify(document))])
}
