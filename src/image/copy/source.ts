import { isPodlibError, PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { ImageIndex, ImageManifest, RawManifest } from '../../spec/descriptor.ts'
import type { Digest } from '../../spec/digest.ts'
import { parseManifest } from '../../spec/manifest.ts'
import type { Platform } from '../../spec/platform.ts'
import { isShortName, parseReference, type Reference } from '../../spec/reference.ts'
import type { ImageSource, ManifestSource } from '../../transport/image-source.ts'
import { parseTransport } from '../../transport/parse-transport.ts'
import type { ImageIdentity } from '../../trust/scopes.ts'
import type { SignatureSources } from '../../trust/sources.ts'
import { notOne, placeOfText, signaturesBeside } from '../load.ts'
import { type OpenedImage, withImages } from '../open-location.ts'
import { firstThatExists } from '../pull.ts'
import { registrySource } from '../registry-source.ts'
import { selectManifest } from '../select-manifest.ts'
import { signatureSources } from '../signature-sources.ts'
import { schemaOne } from './staged.ts'

/** An image where it lies, with where its signatures are. */
export interface CopySource {
  readonly source: ImageSource
  readonly identity: ImageIdentity
  readonly signatures: SignatureSources
  /** In which registry it is, if in any. */
  readonly reference: Reference | undefined
}

export interface WithCopySource<Result> {
  readonly signal: AbortSignal
  readonly use: (source: CopySource) => Promise<Result>
}

/** Runs `use` with the image that a name or place leads to. */
export async function withCopySource<Result>(context: Context, text: string, { signal, use }: WithCopySource<Result>): Promise<Result> {
  const place = placeOfText(text)
  if (place) {
    const useOne = async ([image, ...more]: readonly OpenedImage[]) => {
      if (image === undefined || more.length > 0) throw notOne(place, image ? more.length + 1 : 0)
      return use({ ...image, signatures: signaturesBeside(image.source), reference: undefined })
    }
    return withImages(context, place, { dockerHost: context.dockerHost, signal, use: useOne })
  }
  const location = parseTransport(text)
  const name = location?.transport === 'docker' ? location.reference : text
  // Which of several a short name means is found out before anything of one is used.
  const exists = async (candidate: Reference) => {
    await (await context.registry()).headManifest(candidate, { signal })
    return candidate
  }
  const reference = isShortName(name) ? await firstThatExists(context, name, exists) : parseReference(name)
  return use({
    source: await registrySource(context, reference),
    identity: { transport: 'docker', reference },
    signatures: await signatureSources(context, reference),
    reference,
  })
}

/** A manifest of an image, or of something else that an index lists. */
export interface CopyManifest {
  readonly raw: RawManifest
  readonly manifest: ImageManifest
  /** The outermost index that leads to it, if it was found through one. */
  readonly index: RawManifest | undefined
}

/** An index on the way to images. */
export interface CopyIndex {
  readonly raw: RawManifest
  readonly index: ImageIndex
}

/** What is to be copied. */
export interface CopyTree {
  /** The manifest or index that the destination's name will stand for. */
  readonly root: RawManifest
  /** Each once. */
  readonly manifests: readonly CopyManifest[]
  /** Innermost first; the last one is the root. Empty where one image is copied. */
  readonly indexes: readonly CopyIndex[]
}

/** An index of indexes is allowed, deeper nesting serves nobody; and what stands in for a list of images is no database. */
const MAX_DEPTH = 2
const MAX_MANIFESTS = 1000

/** The one image for a platform. @throws ERR_MANIFEST_UNSUPPORTED for Docker schema 1 */
export async function oneImage(source: ManifestSource, platform: Platform, signal: AbortSignal): Promise<CopyTree> {
  const { raw, manifest, index } = await selectManifest(source, platform, signal)
  if (!('config' in manifest)) throw schemaOne()
  const typed = { ...raw, mediaType: manifest.mediaType }
  return { root: typed, manifests: [{ raw: typed, manifest, index }], indexes: [] }
}

/** Everything that a source leads to, its documents read and proven. */
export async function wholeImage(source: ManifestSource, signal: AbortSignal): Promise<CopyTree> {
  const manifests = new Map<Digest, CopyManifest>()
  const indexes = new Map<Digest, CopyIndex>()
  let root: RawManifest | undefined
  let outermost: RawManifest | undefined
  const read = async (digest: Digest | undefined, depth: number): Promise<void> => {
    if (digest !== undefined && (manifests.has(digest) || indexes.has(digest))) return
    const raw = await source.manifest(digest, signal)
    const parsed = parseWhole(raw)
    const typed = { ...raw, mediaType: parsed.kind === 'image' ? parsed.manifest.mediaType : parsed.index.mediaType }
    root ??= typed
    if (parsed.kind === 'image') manifests.set(raw.digest, { raw: typed, manifest: parsed.manifest, index: outermost })
    else {
      outermost ??= typed
      if (depth > MAX_DEPTH || manifests.size + parsed.index.manifests.length > MAX_MANIFESTS) throw tooMuch(raw)
      for (const entry of parsed.index.manifests) await read(entry.digest, depth + 1)
      indexes.set(raw.digest, { raw: typed, index: parsed.index })
    }
  }
  await read(undefined, 0)
  return { root: root as RawManifest, manifests: [...manifests.values()], indexes: [...indexes.values()] }
}

function parseWhole(raw: RawManifest) {
  try {
    return parseManifest(raw)
  } catch (error) {
    throw isPodlibError(error, 'ERR_MANIFEST_UNSUPPORTED') ? schemaOne() : error
  }
}

function tooMuch({ digest }: RawManifest): PodlibError {
  const text = `the index ${digest} leads through more than ${MAX_DEPTH} further indexes, or to more than ${MAX_MANIFESTS} manifests`
  return new PodlibError('ERR_MANIFEST_INVALID', text, { details: { digest } })
}
