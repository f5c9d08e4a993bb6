import { PodlibError } from '../errors/errors.ts'
import type { RawManifest } from './descriptor.ts'
import { type Digest, digestOf, isDigest } from './digest.ts'
import { parseStrictJson } from './json.ts'

/**
 * A Docker image manifest of schema 1, read only: what registries served before 2016 and some still do. It has no
 * config of its own; one is made of its history once the diff IDs are known.
 *
 * @see https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-1.md
 */
export interface SchemaOneManifest {
  /** Bottom first, without the empty layers of steps that changed no file. */
  readonly blobs: readonly Digest[]
  readonly architecture: string
  readonly os: string
  /** What each step says of itself, oldest first. */
  readonly steps: readonly SchemaOneStep[]
}

/** A step of the history: the parsed `v1Compatibility`. */
export type SchemaOneStep = Readonly<Record<string, unknown>>

const MAX_STEPS = 10_000
/** Members of the newest step that say something about the step and nothing about the image. */
const STEP_MEMBERS: ReadonlySet<string> = new Set(['id', 'parent', 'parent_id', 'layer_id', 'throwaway', 'Size', 'history', 'rootfs'])
/** What Go writes for a time that was never set. */
const NO_TIME = '0001-01-01T00:00:00Z'

/**
 * The bytes that the digest of a schema 1 manifest is the digest of. A signed one contains its signatures, so they are
 * taken out again: each signature says how much of the document it signs and how that ends.
 *
 * @throws ERR_MANIFEST_INVALID
 */
export function schemaOnePayload(bytes: Buffer): Buffer {
  const document = parseObject(bytes, 'schema 1 manifest')
  const { signatures } = document
  if (signatures === undefined) return bytes
  if (!Array.isArray(signatures) || signatures.length === 0) throw invalid('has no list of signatures')
  const payloads = signatures.map((signature) => signedPart(bytes, signature))
  const [first] = payloads as [Buffer, ...Buffer[]]
  if (!payloads.every((payload) => payload.equals(first))) throw invalid('has signatures of different documents')
  return first
}

/** The digest that a schema 1 manifest is known by. The signature inside is nobody's: it proves nothing and is not checked. */
export function schemaOneDigest(bytes: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return digestOf(schemaOnePayload(bytes), algorithm)
}

/** Reads the signed part only, so that the digest covers everything that is used. @throws ERR_MANIFEST_INVALID */
export function parseSchemaOne(raw: Pick<RawManifest, 'bytes'>): SchemaOneManifest {
  const { schemaVersion, fsLayers, history, architecture } = parseObject(schemaOnePayload(raw.bytes), 'schema 1 manifest')
  if (schemaVersion !== 1) throw invalid('has a schemaVersion other than 1')
  if (!Array.isArray(fsLayers) || !Array.isArray(history)) throw invalid('has no fsLayers or no history')
  if (fsLayers.length !== history.length) throw invalid(`has ${fsLayers.length} layers but ${history.length} steps of history`)
  if (fsLayers.length === 0 || fsLayers.length > MAX_STEPS) throw invalid(`has ${fsLayers.length} layers`)
  const steps = history.map((entry) => parseStep(entry)).reverse()
  const blobs = fsLayers.map((layer) => blobSum(layer)).reverse()
  const newest = steps.at(-1) as SchemaOneStep
  return {
    blobs: blobs.filter((_, index) => steps[index]?.throwaway !== true),
    architecture: text(newest.architecture) ?? text(architecture) ?? '',
    os: text(newest.os) ?? 'linux',
    steps,
  }
}

/**
 * The image config that a schema 1 manifest stands for. The same bytes as other tools make of it, and so the same image
 * ID: members in the order of their names, written as Go writes JSON.
 *
 * @param diffIds - one for each of the manifest's blobs
 */
export function schemaOneConfig({ steps, architecture, os }: SchemaOneManifest, diffIds: readonly Digest[]): Buffer {
  const newest = steps.at(-1) as SchemaOneStep
  const members = new Map(Object.entries(newest).filter(([name]) => !STEP_MEMBERS.has(name)))
  if (!members.has('architecture')) members.set('architecture', architecture)
  if (!members.has('os')) members.set('os', os)
  members.set('history', steps.map(historyEntry))
  members.set('rootfs', { type: 'layers', diff_ids: diffIds })
  const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.from(JSON.stringify(Object.fromEntries(sorted)).replace(/[<>&\u2028\u2029]/g, goEscape))
}

function historyEntry(step: SchemaOneStep): Record<string, unknown> {
  const command = isObject(step.container_config) ? step.container_config.Cmd : undefined
  const createdBy = Array.isArray(command) ? command.filter((word) => typeof word === 'string').join(' ') : ''
  const author = text(step.author)
  const comment = text(step.comment)
  return {
    created: text(step.created) ?? NO_TIME,
    ...(author && { author }),
    ...(createdBy && { created_by: createdBy }),
    ...(comment && { comment }),
    ...(step.throwaway === true && { empty_layer: true }),
  }
}

function goEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The JWS form of libtrust: the protected header has the length of the signed beginning and what follows it. */
function signedPart(bytes: Buffer, signature: unknown): Buffer {
  const encoded = isObject(signature) ? text(signature.protected) : undefined
  if (encoded === undefined) throw invalid('has a signature without a protected header')
  const { formatLength, formatTail } = parseObject(Buffer.from(encoded, 'base64url'), 'protected header of a schema 1 manifest')
  const tail = text(formatTail)
  if (typeof formatLength !== 'number' || !Number.isSafeInteger(formatLength) || formatLength < 0 || tail === undefined)
    throw invalid('has a signature that does not say what it signs')
  if (formatLength > bytes.length) throw invalid('is shorter than what its signature signs')
  return Buffer.concat([bytes.subarray(0, formatLength), Buffer.from(tail, 'base64url')])
}

function parseStep(entry: unknown): SchemaOneStep {
  const json = isObject(entry) ? text(entry.v1Compatibility) : undefined
  if (json === undefined) throw invalid('has a step of history without v1Compatibility')
  return parseObject(Buffer.from(json), 'history of a schema 1 manifest')
}

function blobSum(layer: unknown): Digest {
  const sum = isObject(layer) ? layer.blobSum : undefined
  if (!isDigest(sum)) throw invalid('has a layer without a valid digest')
  return sum
}

function parseObject(bytes: Buffer, what: string): Record<string, unknown> {
  const value = parseStrictJson(bytes.toString('utf8'), { what })
  if (!isObject(value)) throw invalid('is not a JSON object')
  return value
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(why: string): PodlibError {
  return new PodlibError('ERR_MANIFEST_INVALID', `the schema 1 manifest ${why}`)
}
