import { PodlibError } from '../../errors/errors.ts'
import { type Digest, isDigest } from '../../spec/digest.ts'

/** A record of `images.json`, as far as it is used. */
export interface ImageRecord {
  readonly id: string
  readonly names: readonly string[]
  /** Top of its layers; undefined for an image without. */
  readonly layer: string | undefined
}

/** A record of `layers.json`, as far as it is used. */
export interface LayerRecord {
  readonly id: string
  readonly parent: string | undefined
  readonly diffId: Digest | undefined
  /** Bytes of its tar. */
  readonly size: number
  /** When it came into the store. */
  readonly createdAt: number
  /** Still being unpacked, or what a crash left of that. */
  readonly incomplete: boolean
  /** Its files have other owners than the image says. */
  readonly mapped: boolean
}

const ID = /^[0-9a-f]{64}$/
const MAX_NAMES = 1000
const MAX_NAME_LENGTH = 1000

/**
 * Reads `images.json`. A record that is not one of an image is left out: stores are written by many versions of many
 * programs.
 *
 * @throws ERR_STORE_UNREADABLE for what is no list
 */
export function parseImageRecords(bytes: Buffer, where: string): ImageRecord[] {
  return parseList(bytes, where).flatMap((record) => {
    const { id, names, layer } = record
    if (!isId(id) || !(layer === undefined || layer === '' || isId(layer))) return []
    const texts = Array.isArray(names) ? names.slice(0, MAX_NAMES).filter(isName) : []
    return [{ id, names: texts, layer: layer || undefined }]
  })
}

/** Reads `layers.json`, by id. @throws ERR_STORE_UNREADABLE for what is no list */
export function parseLayerRecords(bytes: Buffer, where: string): Map<string, LayerRecord> {
  const layers = parseList(bytes, where).flatMap((record): LayerRecord[] => {
    const { id, parent, created, flags, uidmap, gidmap } = record
    if (!isId(id) || !(parent === undefined || parent === '' || isId(parent))) return []
    const createdAt = typeof created === 'string' ? Date.parse(created) : Number.NaN
    const [diffId, size] = [record['diff-digest'], record['diff-size']]
    return [
      {
        id,
        parent: parent || undefined,
        diffId: typeof diffId === 'string' && isDigest(diffId) ? diffId : undefined,
        size: Number.isSafeInteger(size) && (size as number) >= 0 ? (size as number) : 0,
        createdAt: Number.isNaN(createdAt) ? 0 : createdAt,
        incomplete: (flags as { incomplete?: unknown } | undefined)?.incomplete === true,
        mapped: isFilled(uidmap) || isFilled(gidmap),
      },
    ]
  })
  return new Map(layers.map((layer) => [layer.id, layer]))
}

/** The layers below and including `top`, bottom first; undefined when one is missing or not complete. */
export function layerChain(layers: ReadonlyMap<string, LayerRecord>, top: string | undefined): LayerRecord[] | undefined {
  const chain: LayerRecord[] = []
  for (let id = top; id !== undefined; ) {
    const layer = layers.get(id)
    // A ring would have no end.
    if (layer === undefined || layer.incomplete || chain.length >= layers.size) return undefined
    chain.unshift(layer)
    id = layer.parent
  }
  return chain
}

/** The file name of a part of an image's *big data*: plain where that is harmless, base64 otherwise. */
export function bigDataName(key: string): string {
  return /^[a-z0-9_.-]*$/.test(key) && !/^\.*$/.test(key) ? key : `=${Buffer.from(key).toString('base64')}`
}

function parseList(bytes: Buffer, where: string): Record<string, unknown>[] {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8') || '[]')
  } catch (error) {
    throw new PodlibError('ERR_STORE_UNREADABLE', `${where} is no JSON`, { details: { path: where }, cause: error })
  }
  if (!Array.isArray(document ?? [])) throw new PodlibError('ERR_STORE_UNREADABLE', `${where} is no list`, { details: { path: where } })
  return ((document ?? []) as unknown[]).filter(
    (record): record is Record<string, unknown> => typeof record === 'object' && record !== null,
  )
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value)
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_NAME_LENGTH
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0
}
