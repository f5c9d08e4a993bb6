import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, isPodlibError, PodlibError } from '../../errors/errors.ts'
import { type Digest, digestHex, digestOf } from '../../spec/digest.ts'
import type { ImageConfig } from '../../spec/image.ts'
import { parseStrictJson } from '../../spec/json.ts'
import { parseManifest } from '../../spec/manifest.ts'
import { formatReference, parseReference } from '../../spec/reference.ts'
import { validateImageConfig } from '../../spec/validate.ts'
import { bigDataName, type ImageRecord, type LayerRecord, layerChain, parseImageRecords, parseLayerRecords } from './metadata.ts'
import { isRealDirectory, readStoreFile, stampOf } from './store-files.ts'

/** An image of a store of containers/storage. */
export interface ForeignImage {
  /** Hexadecimal part of the config's digest, as podlib knows images; the store may know it by another. */
  readonly id: string
  /** Root of the store. */
  readonly store: string
  /** In full, with tag. */
  readonly names: readonly string[]
  readonly manifest: { readonly digest: Digest; readonly mediaType: string }
  readonly config: ImageConfig
  readonly configBytes: Buffer
  /** When the last of its layers came into the store. */
  readonly storedAt: number
  /** Bottom first. */
  readonly layers: readonly ForeignLayer[]
}

export interface ForeignLayer {
  readonly diffId: Digest
  /** What the store has noted of its tar: anything else than the diff ID is a store that contradicts itself. */
  readonly recordedDiffId: Digest
  /** Bytes of its tar. */
  readonly size: number
  /** The directory that overlay takes as a lower one. */
  readonly tree: string
  /** What it takes to write its tar again. */
  readonly tarSplit: string
  /** Its files have other owners than the image says. */
  readonly mapped: boolean
}

/** A store of podman, buildah, skopeo or CRI-O (*containers/storage*, driver overlay), which is only read. */
export interface ContainersStore {
  readonly root: string
  /** Those that are whole and that podlib understands. Reads again what has changed since. @throws ERR_STORE_UNREADABLE, ERR_STORE_UNSUPPORTED, ERR_PERMISSION */
  images(): readonly ForeignImage[]
  /** The layers of an image as directories to be used in place, bottom first. @throws ERR_STORE_UNSUPPORTED, ERR_STORE_CORRUPT, ERR_LAYER_NOT_FOUND */
  trees(image: ForeignImage): readonly `/${string}`[]
}

const MAX_LIST_BYTES = 64 * 1024 * 1024
const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
const IMAGES = ['overlay-images', 'images.json']
const LAYERS = ['overlay-layers', 'layers.json']

/**
 * Reads a store that other programs write at the same time. They replace their lists by renames, so that each is whole; they
 * add layers before the image and take them away after it, so that the list of images is read first.
 *
 * @param uid - the user of this process: ids in a store are those of the user namespace of its owner
 */
export function openContainersStore(root: string, uid: number): ContainersStore {
  let known: { readonly stamp: string; readonly images: readonly ForeignImage[] } | undefined
  return {
    root,
    images() {
      const stamp = `${stampOf(root, IMAGES)} ${stampOf(root, LAYERS)}`
      if (known?.stamp !== stamp) known = { stamp, images: readImages(root) }
      return known.images
    },
    trees(image) {
      assertUsable(root, uid)
      return image.layers.map((layer) => usableTree(root, layer))
    },
  }
}

function readImages(root: string): ForeignImage[] {
  const images = readStoreFile(root, IMAGES, MAX_LIST_BYTES)
  if (images === undefined) return assertOverlay(root)
  const layers = parseLayerRecords(readStoreFile(root, LAYERS, MAX_LIST_BYTES)?.bytes ?? Buffer.alloc(0), join(root, ...LAYERS))
  return parseImageRecords(images.bytes, join(root, ...IMAGES)).flatMap((record) => readImage(root, record, layers) ?? [])
}

/** One image; undefined for what is being removed, a list of manifests, an artifact, or an image of Docker's schema 1. */
function readImage(root: string, record: ImageRecord, layers: ReadonlyMap<string, LayerRecord>): ForeignImage | undefined {
  const chain = layerChain(layers, record.layer)
  const bigData = (key: string) => readStoreFile(root, ['overlay-images', record.id, bigDataName(key)], MAX_DOCUMENT_BYTES)?.bytes
  const manifestBytes = chain && bigData('manifest')
  if (chain === undefined || manifestBytes === undefined) return undefined
  try {
    const raw = { mediaType: '', digest: digestOf(manifestBytes), bytes: manifestBytes }
    const parsed = parseManifest(raw)
    const configBytes = parsed.kind === 'image' ? bigData(parsed.manifest.config.digest) : undefined
    if (parsed.kind !== 'image' || configBytes === undefined || digestOf(configBytes) !== parsed.manifest.config.digest) return undefined
    const config = validateImageConfig(
      parseStrictJson(configBytes.toString('utf8'), { what: 'the image config', code: 'ERR_IMAGE_CONFIG_INVALID' }),
    )
    const stack = foreignLayers(root, chain, config.rootfs.diff_ids)
    return (
      stack && {
        id: digestHex(parsed.manifest.config.digest),
        store: root,
        names: record.names.flatMap((name) => fullName(name) ?? []),
        manifest: { digest: raw.digest, mediaType: parsed.manifest.mediaType ?? '' },
        config,
        configBytes,
        storedAt: Math.max(0, ...chain.map(({ createdAt }) => createdAt)),
        layers: stack,
      }
    )
  } catch (error) {
    if (isPodlibError(error, 'ERR_PERMISSION') || !isPodlibError(error)) throw error
    return undefined
  }
}

/** Undefined unless there are as many layers as the config names. */
function foreignLayers(root: string, chain: readonly LayerRecord[], diffIds: readonly Digest[]): ForeignLayer[] | undefined {
  if (chain.length !== diffIds.length) return undefined
  return chain.map(({ id, diffId, size, mapped }, position) => ({
    diffId: diffIds[position] as Digest,
    recordedDiffId: diffId ?? (diffIds[position] as Digest),
    size,
    tree: join(root, 'overlay', id, 'diff'),
    tarSplit: join(root, 'overlay-layers', `${id}.tar-split.gz`),
    mapped,
  }))
}

function fullName(name: string): string | undefined {
  try {
    const reference = parseReference(name)
    return reference.digest ? undefined : formatReference(reference)
  } catch {
    return undefined
  }
}

/** A store that has no images yet is in order; one of another driver is not. */
function assertOverlay(root: string): [] {
  let names: string[]
  try {
    names = readdirSync(root)
  } catch (error) {
    const code = errorCode(error)
    const kind = code === 'EACCES' || code === 'EPERM' ? 'ERR_PERMISSION' : 'ERR_STORE_UNREADABLE'
    throw new PodlibError(kind, `cannot read the image store ${root}: ${code}`, { details: { root, systemCode: code }, cause: error })
  }
  const other = names.find((name) => name.endsWith('-images') && name !== 'overlay-images')
  if (other !== undefined) throw unsupported(root, `its driver is ${other.slice(0, -'-images'.length)}, and podlib reads overlay only`)
  return []
}

/** Whether layers can be mounted as they are: the owners of files and the marks of overlay depend on who unpacked them. */
function assertUsable(root: string, uid: number): void {
  const owner = lstatSync(root).uid
  if (owner !== uid)
    throw unsupported(root, `its layers have the ids of user ${owner}, and this is user ${uid}: pull a copy from it instead`)
  const program = readStoreFile(root, ['overlay', '.has-mount-program'], 64)?.bytes.toString('latin1')
  if (program?.trim() === 'true') throw unsupported(root, 'its layers are for fuse-overlayfs: pull a copy from it instead')
}

function usableTree(root: string, { tree, diffId, recordedDiffId, mapped }: ForeignLayer): `/${string}` {
  if (recordedDiffId !== diffId) {
    const text = `cannot use an image of the image store ${root}: it has layer ${recordedDiffId} where the image has ${diffId}; remove it there and pull it again`
    throw new PodlibError('ERR_STORE_CORRUPT', text, { details: { root, diffId, recordedDiffId } })
  }
  if (mapped) throw unsupported(root, `layer ${diffId} has mapped ids: pull a copy from it instead`)
  const layer = join(tree, '..')
  if (isRealDirectory(join(layer, 'composefs-data')))
    throw unsupported(root, 'its layers are kept by composefs: save the image with podman')
  if (isRealDirectory(join(root, 'overlay')) && isRealDirectory(layer) && isRealDirectory(tree)) return tree as `/${string}`
  throw new PodlibError('ERR_LAYER_NOT_FOUND', `layer ${diffId} is not in the image store ${root}`, { details: { diffId, store: root } })
}

function unsupported(root: string, why: string): PodlibError {
  return new PodlibError('ERR_STORE_UNSUPPORTED', `cannot use the image store ${root}: ${why}`, { details: { root } })
}
