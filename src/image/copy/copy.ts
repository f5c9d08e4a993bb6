import { PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { RawManifest } from '../../spec/descriptor.ts'
import type { Digest } from '../../spec/digest.ts'
import type { Reference } from '../../spec/reference.ts'
import { openFileDestination } from '../../transport/file-destination.ts'
import type { ImageDestination } from '../../transport/image-destination.ts'
import type { ManifestSource } from '../../transport/image-source.ts'
import { type Operation, startOperation } from '../../util/operation.ts'
import { checkOptions, type OptionNames } from '../../util/options.ts'
import { outputError } from '../output-error.ts'
import { platformOption } from '../platform-option.ts'
import { mountableFrom, registryDestination } from '../push/destination.ts'
import { missingPlace, pushSignatures, type SignaturePlaces, signaturePlaces } from '../push/signatures.ts'
import { verifyImage } from '../verify.ts'
import { copyBlobs } from './blobs.ts'
import { isForeignLayer } from './convert.ts'
import { convertTree } from './convert-tree.ts'
import { type DestinationPlace, formatDestination, parseDestination } from './destination.ts'
import { withManifest } from './manifestless.ts'
import { type CopiedImage, type CopyImageOptions, type CopyProgress, copyProgressKey } from './options.ts'
import type { CopyRun } from './run.ts'
import { collectSignatures, countSignatures, type ImageSignatures, noPlaceFor } from './signatures.ts'
import { type CopySource, type CopyTree, oneImage, wholeImage, withCopySource } from './source.ts'
import { copyToDocker } from './to-docker.ts'

const COPY_OPTIONS: OptionNames<CopyImageOptions> = { all: true, platform: true, signatures: true, credential: true, signal: true }

/** Copies an image from one place to another. */
export function copyImage(
  context: Context,
  from: string,
  to: string,
  options: CopyImageOptions = {},
): Operation<CopiedImage, CopyProgress> {
  return startOperation<CopiedImage, CopyProgress>(async (report) => {
    checkOptions('images.copy', options, COPY_OPTIONS)
    const { all = false, signatures = 'keep', credential } = options
    if (signatures !== 'keep' && signatures !== 'remove') throw badOption('signatures are to keep or to remove')
    const place = parseDestination(to)
    if (all && 'names' in place) throw badOption(`${formatDestination(place)} holds one image of an index: leave out all`)
    const signal = options.signal ? AbortSignal.any([options.signal, context.closing]) : context.closing
    const run: CopyRun = { all, platform: platformOption(options, context.platform), signatures, credential, report, signal }
    const work = copy(context, from, place, run)
    // A runtime that is closed meanwhile is closed when nothing of it is left.
    context.background.add(work)
    return work
  }, copyProgressKey)
}

async function copy(context: Context, from: string, place: DestinationPlace, run: CopyRun): Promise<CopiedImage> {
  const { report, signal } = run
  signal.throwIfAborted()
  // Without a policy nothing is read.
  await context.trust()
  report({ phase: 'resolve', reference: from })
  const use = async (source: CopySource) => {
    if ('names' in place) return copyToDocker(context, source, place, run)
    // What has no manifest gets one, and is a source like any other then.
    if (source.source.form === 'config') return withManifest(context, source, run, (made) => copyManifests(context, made, place, run))
    return copyManifests(context, { ...source, source: source.source, converted: false }, place, run)
  }
  return withCopySource(context, from, { signal, use })
}

type ManifestPlace = Exclude<DestinationPlace, { readonly names: readonly string[] }>
type ManifestCopySource = CopySource & { readonly source: ManifestSource; readonly converted: boolean }

/** Reads the documents, asks the policy about them, and only then begins to write. */
async function copyManifests(context: Context, from: ManifestCopySource, place: ManifestPlace, run: CopyRun): Promise<CopiedImage> {
  const { all, platform, report, signal } = run
  const reference = formatDestination(place)
  report({ phase: 'manifest', reference })
  const tree = all ? await wholeImage(from.source, signal) : await oneImage(from.source, platform, signal)
  if (!from.converted) {
    report({ phase: 'verify', reference })
    await verifyTree(context, from, tree, signal)
  }
  // Registries and directories hold every manifest, layouts only those of OCI.
  const isLayout = place.transport === 'oci' || place.transport === 'oci-archive'
  const converted = isLayout ? convertTree(tree) : tree
  const found = await signaturesOf(context, from, tree, run)
  const places = place.transport === 'docker' ? await signaturePlaces(context, place.reference) : undefined
  assertPlaces(found, { place, places, isConverted: converted !== tree })
  const destination = await openDestination(context, place, run)
  try {
    const mountFrom = place.transport === 'docker' && from.reference ? mountableFrom(place.reference, [from.reference]) : []
    const blobs = await copyBlobs(blobsOf(converted), { source: from.source, destination, mountFrom, report, signal })
    report({ phase: 'publish', reference })
    await putListed(destination, converted, signal)
    await putSignatures(context, found, { destination, place, places, root: converted.root, run })
    signal.throwIfAborted()
    await destination.finish(converted.root, signal)
    return {
      destination: destination.where,
      manifestDigest: converted.root.digest,
      converted: from.converted || converted !== tree,
      images: Math.max(1, converted.manifests.length),
      blobs,
      signatures: countSignatures(found),
    }
  } catch (error) {
    await destination.abandon()
    throw place.transport === 'docker' ? error : outputError(error, place.path)
  }
}

/** Every image must be accepted: by a signature of its own, or of the index that leads to it. */
async function verifyTree(context: Context, from: ManifestCopySource, tree: CopyTree, signal: AbortSignal): Promise<void> {
  const { identity, signatures: sources } = from
  const asked = tree.manifests.map(({ raw, index }) => ({ manifestDigest: raw.digest, indexDigest: index?.digest }))
  const documents = asked.length > 0 ? asked : [{ manifestDigest: tree.root.digest, indexDigest: undefined }]
  for (const document of documents) await verifyImage(context, { identity, ...document, sources, signal })
}

async function signaturesOf(context: Context, from: ManifestCopySource, tree: CopyTree, run: CopyRun): Promise<ImageSignatures[]> {
  const { signatures, signal } = run
  if (signatures === 'remove' || from.converted) return []
  const digests = [...tree.manifests, ...tree.indexes].map(({ raw }) => raw.digest)
  return collectSignatures(context, { sources: from.signatures, reference: from.reference, digests, signal })
}

interface Places {
  readonly place: ManifestPlace
  readonly places: SignaturePlaces | undefined
  readonly isConverted: boolean
}

/** @throws ERR_SIGNATURE_DESTINATION */
function assertPlaces(found: readonly ImageSignatures[], { place, places, isConverted }: Places): void {
  if (found.length === 0) return
  const where = formatDestination(place)
  if (isConverted) throw noPlaceFor(found, `they are not of the manifest that it gets at ${where}`)
  const files = found.flatMap((one) => one.files)
  if (places) {
    const why = missingPlace(places, files)
    if (why !== undefined) throw noPlaceFor(found, why)
  } else if (place.transport !== 'dir') throw noPlaceFor(found, `${where} has no place for them`)
  else if (found.some(({ bundles }) => bundles.length > 0)) throw noPlaceFor(found, `${where} has no place for bundles`)
}

async function openDestination(context: Context, place: ManifestPlace, { credential }: CopyRun): Promise<ImageDestination> {
  if (place.transport === 'docker') return registryDestination(context, place.reference, { ...(credential && { credential }) })
  try {
    return await openFileDestination(place)
  } catch (error) {
    throw outputError(error, place.path)
  }
}

/** Configs and layers; a layer that is not for registries stays where it is. */
function blobsOf({ manifests }: CopyTree) {
  return manifests.flatMap(({ manifest: { config, layers } }) => [...layers.filter((layer) => !isForeignLayer(layer)), config])
}

/** Images before the indexes that list them, as registries ask for. */
async function putListed(destination: ImageDestination, { root, manifests, indexes }: CopyTree, signal: AbortSignal): Promise<void> {
  const isListed = ({ raw }: { readonly raw: RawManifest }) => raw.digest !== root.digest
  for (const { raw } of [...manifests, ...indexes].filter(isListed)) await destination.putManifest(raw, signal)
}

interface PutSignatures {
  readonly destination: ImageDestination
  readonly place: ManifestPlace
  readonly places: SignaturePlaces | undefined
  readonly root: { readonly digest: Digest }
  readonly run: CopyRun
}

/** Before the name leads to the image: nobody is to find it there without its signatures. */
async function putSignatures(context: Context, found: readonly ImageSignatures[], put: PutSignatures): Promise<void> {
  const { destination, place, places, root, run } = put
  if (place.transport === 'docker' && places) {
    const reference: Reference = place.reference
    await pushSignatures(context, found, { reference, places, credential: run.credential, signal: run.signal })
    return
  }
  for (const { digest, files } of found) await destination.putSignatureFiles?.(digest, files, digest === root.digest)
}

function badOption(why: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `cannot copy so: ${why}`)
}
