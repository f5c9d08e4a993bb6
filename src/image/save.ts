import { resolve } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import type { Platform } from '../spec/platform.ts'
import { archiveOutput, directoryOutput, existingLayout } from '../transport/file-destination.ts'
import { type FileSink, tarSink } from '../transport/file-sink.ts'
import { type SavedImage, writeDir, writeDockerArchive, writeOciLayout } from '../transport/saved-image.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { type LayerBlob, type LayerCompression, withLayerBlobs } from './layer-blobs.ts'
import { outputError } from './output-error.ts'
import { platformOption } from './platform-option.ts'
import { type ImageChoice, type ImageToSave, imagesToSave, savedImage } from './saved-manifest.ts'

/** @public */
export interface SaveStreamOptions {
  /** `oci-archive`: an OCI layout in a tar; `docker-archive`: for `docker load`. @defaultValue `'oci-archive'` */
  readonly format?: 'oci-archive' | 'docker-archive'
  /**
   * Of the layers. Without, they are the tars they were when they came, and the same image always gives the same archive;
   * with it they take space in the store until the archive is complete. A `docker-archive` has none. @defaultValue `'none'`
   */
  readonly compression?: LayerCompression
  /** Which of the images that a name stands for. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  readonly signal?: AbortSignal
}

/** @public */
export interface SaveOptions extends Omit<SaveStreamOptions, 'format'> {
  /** `oci` and `dir` are directories; an OCI layout that is there is added to. @defaultValue `'oci-archive'` */
  readonly format?: 'oci-archive' | 'docker-archive' | 'oci' | 'dir'
  /** File or directory to be made. A file that is there is replaced, once the new one is complete. */
  readonly path: string
  /** Whether signatures are saved, where they have a place: see {@link SavedImageInfo.signatures}. @defaultValue `'keep'` */
  readonly signatures?: 'keep' | 'remove'
}

/** What a save is at. @public */
export interface SaveProgress {
  readonly phase: 'layer'
  /** Diff ID. */
  readonly layer: Digest
  readonly bytes: number
  readonly totalBytes: number
}

/** An image as it was saved. @public */
export interface SavedImageInfo {
  readonly id: string
  readonly names: readonly string[]
  /** Of the manifest in the archive. A docker-archive has none. */
  readonly manifestDigest: Digest | undefined
  /**
   * Signatures saved with it. Only `dir` has a place for them, and only if the manifest is the one that they are of. That of
   * an image whose layers came compressed is not: the store keeps what they hold, from which the same compressed bytes cannot
   * be made again. `images.push` to a registry that has those layers, and `images.copy`, leave manifest and signatures as they are.
   */
  readonly signatures: number
}

type Report = (progress: SaveProgress) => void

const STREAM_OPTIONS: OptionNames<SaveStreamOptions> = { format: true, compression: true, platform: true, signal: true }
const SAVE_OPTIONS: OptionNames<SaveOptions> = { ...STREAM_OPTIONS, path: true, signatures: true }

/** Saves images to a file or directory. */
export function saveImages(
  context: Context,
  names: readonly ImageChoice[],
  options: SaveOptions,
): Operation<SavedImageInfo[], SaveProgress> {
  return startOperation<SavedImageInfo[], SaveProgress>(
    async (report) => save(context, names, options, report),
    ({ layer }) => layer,
  )
}

/** Saves images into a stream: an archive, written while it is read. */
export function saveImageStream(context: Context, names: readonly ImageChoice[], options: SaveStreamOptions = {}): Readable {
  checkOptions('images.saveStream', options, STREAM_OPTIONS)
  const output = new PassThrough({ highWaterMark: 1 << 20 })
  const gone = new AbortController()
  output.once('close', () => gone.abort(new DOMException('nobody reads the archive any more', 'AbortError')))
  const signal = options.signal ? AbortSignal.any([options.signal, gone.signal]) : gone.signal
  const write = async (saved: readonly SavedImage[]) => {
    const sink = tarSink(output)
    await writeFormat(sink, options.format ?? 'oci-archive', saved)
    await sink.finish()
  }
  saving(context, names, { ...options, signal }, { write, report: () => {} }).catch((error) => output.destroy(error))
  return output
}

async function save(context: Context, names: readonly ImageChoice[], options: SaveOptions, report: Report): Promise<SavedImageInfo[]> {
  checkOptions('images.save', options, SAVE_OPTIONS)
  const { format = 'oci-archive' } = options
  const path = resolve(options.path)
  try {
    const isDirectory = format === 'dir' || format === 'oci'
    const existing = isDirectory ? await existingLayout(path, format) : undefined
    const write = async (saved: readonly SavedImage[]) => {
      const { sink, publish, discard } = await (isDirectory ? directoryOutput(path) : archiveOutput(path))
      try {
        await writeFormat(sink, format, saved, existing)
        await publish()
      } catch (error) {
        await discard()
        throw error
      }
    }
    return await saving(context, names, options, { write, report })
  } catch (error) {
    throw outputError(error, path)
  }
}

interface Saving {
  readonly write: (images: readonly SavedImage[]) => Promise<void>
  readonly report: Report
}

async function saving(
  context: Context,
  names: readonly ImageChoice[],
  options: SaveOptions | SaveStreamOptions,
  { write, report }: Saving,
): Promise<SavedImageInfo[]> {
  const { format = 'oci-archive', compression = 'none', signal } = options
  signal?.throwIfAborted()
  const images = imagesToSave(context, names, platformOption(options, context.platform))
  if (format === 'docker-archive' && compression !== 'none')
    throw badChoice('the layers of a docker-archive are not compressed: compress the archive')
  if (format === 'dir' && images.length !== 1) throw badChoice('a directory of the dir transport holds one image')
  const use = async (blobs: ReadonlyMap<Digest, LayerBlob>) => {
    const reported = new Map([...blobs].map(([diffId, blob]) => [diffId, reporting(blob, report)]))
    const removed = 'signatures' in options && options.signatures === 'remove' ? { signatures: [] } : {}
    const saved = images.map((image) => ({ ...savedImage(image, reported, format), ...removed }))
    await write(saved)
    await recordEvents(context, images)
    return saved.map(({ names: given, manifest, signatures }, position) => ({
      id: (images[position] as ImageToSave).row.id,
      names: given,
      manifestDigest: format === 'docker-archive' ? undefined : manifest.digest,
      signatures: signatures.length,
    }))
  }
  return withLayerBlobs(context, { diffIds: images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)), compression, signal, use })
}

function reporting(blob: LayerBlob, report: Report): LayerBlob {
  async function* open() {
    let bytes = 0
    for await (const chunk of blob.open()) {
      bytes += chunk.length
      report({ phase: 'layer', layer: blob.diffId, bytes, totalBytes: blob.size })
      yield chunk
    }
  }
  return { ...blob, open }
}

async function writeFormat(sink: FileSink, format: string, images: readonly SavedImage[], existing?: Buffer): Promise<void> {
  if (format === 'docker-archive') await writeDockerArchive(sink, images)
  else if (format === 'dir') await writeDir(sink, images[0] as SavedImage)
  else await writeOciLayout(sink, images, existing)
}

async function recordEvents(context: Context, images: readonly ImageToSave[]): Promise<void> {
  await context.db.transaction(() => {
    for (const { row, names } of images) {
      const reference = names[0]
      context.events.record({
        type: 'image',
        action: 'save',
        id: row.id,
        name: reference ?? row.id,
        attributes: reference ? { reference } : {},
      })
    }
  })
}

function badChoice(why: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `cannot save so: ${why}`)
}
