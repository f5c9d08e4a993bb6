import type { Context } from '../../lifecycle/context.ts'
import type { Digest } from '../../spec/digest.ts'
import { type ImageManifestRow, listImageLayers, listImageManifests } from '../../state/image-table.ts'
import { loadIntoDaemon } from '../../transport/docker-daemon.ts'
import { type DestinationPlace, formatDestination } from '../copy/destination.ts'
import { type SavedImageInfo, saveImageStream, saveImages } from '../save.ts'
import type { ImageToSave } from '../saved-manifest.ts'
import { cameWithImage } from './available.ts'
import type { PushedImage, PushImageOptions, PushProgress } from './options.ts'

export interface PushElsewhere {
  readonly image: ImageToSave
  readonly place: Exclude<DestinationPlace, { readonly transport: 'docker' }>
  readonly options: PushImageOptions
  readonly report: (progress: PushProgress) => void
  readonly signal: AbortSignal
}

/** Pushes an image to files or a Docker daemon: a save, under the name that the destination says. */
export async function pushElsewhere(context: Context, { image, place, options, report, signal }: PushElsewhere): Promise<PushedImage> {
  const { row, names, layers } = image
  const { id } = row
  const given = 'names' in place ? place.names : 'ref' in place && place.ref !== undefined ? [place.ref] : names
  const choice = { id, name: id, as: given }
  const destination = formatDestination(place)
  report({ phase: 'prepare', reference: destination })
  const done = { uploaded: new Set(layers.map(({ diffId }) => diffId)).size, mounted: 0, present: 0 }
  if (place.transport === 'docker-daemon') {
    await loadIntoDaemon(
      { dockerHost: context.dockerHost, signal },
      saveImageStream(context, [choice], { format: 'docker-archive', signal }),
    )
    return { id, destination, manifestDigest: undefined, verbatim: false, layers: done, signatures: 0 }
  }
  const { transport: format, path } = place
  const { compression = format === 'docker-archive' || cameUncompressed(context, id) ? 'none' : 'gzip', signatures = 'keep' } = options
  const saving = saveImages(context, [choice], { format, path, compression, signatures, signal })
  for await (const { layer, bytes, totalBytes } of saving) report({ phase: 'upload', layer, bytes, totalBytes })
  const [saved] = (await saving) as [SavedImageInfo]
  const verbatim = image.manifests.some(({ raw }) => raw.digest === saved.manifestDigest)
  return { id, destination, manifestDigest: saved.manifestDigest, verbatim, layers: done, signatures: saved.signatures }
}

/** Then its manifest can stay what it is. */
function cameUncompressed({ db }: Context, id: string): boolean {
  const diffIds = listImageLayers(db, id).map(({ diffId }) => diffId)
  const isPlain = (row: ImageManifestRow) => {
    const { layers } = JSON.parse(Buffer.from(row.bytes).toString('utf8')) as { layers?: { digest: Digest }[] }
    return layers?.length === diffIds.length && layers.every(({ digest }, position) => digest === diffIds[position])
  }
  return listImageManifests(db, id).some((row) => cameWithImage(row) && isPlain(row))
}
