import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { errorCode, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import type { Platform } from '../spec/platform.ts'
import { directoryFiles } from '../transport/file-set.ts'
import { directorySink, type FileSink, tarSink } from '../transport/file-sink.ts'
import { MAX_DOCUMENT_BYTES } from '../transport/image-source.ts'
import { OCI_INDEX_FILE, ociLayoutImages } from '../transport/oci-layout.ts'
import { type SavedImage, writeDir, writeDockerArchive, writeOciLayout } from '../transport/saved-image.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { type LayerBlob, type LayerCompression, withLayerBlobs } from './layer-blobs.ts'
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
   * Signatures saved with it. Only `dir` has a place for them, and only if the manifest is the one that they are of: that of
   * an image whose layers came compressed is not, as they are saved otherwise.
   */
  readonly signatures: number
}

type Report = (progress: SaveProgress) => void

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
  const output = new PassThrough({ highWaterMark: 1 << 20 })
  const gone = new AbortController()
  output.once('close', () => gone.abort(new DOMException('nobody reads the archive any more', 'AbortError')))
  const signal = options.signal ? AbortSignal.any([options.signal, gone.signal]) : gone.signal
  const write = (saved: readonly SavedImage[]) => writeFormat(tarSink(output), options.format ?? 'oci-archive', saved)
  saving(context, names, { ...options, signal }, { write, report: () => {} }).catch((error) => output.destroy(error))
  return output
}

async function save(context: Context, names: readonly ImageChoice[], options: SaveOptions, report: Report): Promise<SavedImageInfo[]> {
  const { format = 'oci-archive', path } = options
  if (format === 'dir' || format === 'oci') return saveToDirectory(context, names, { ...options, format, path: resolve(path) }, report)
  const target = resolve(path)
  const temporary = `${target}.${randomBytes(6).toString('hex')}.partial`
  await mkdir(dirname(target), { recursive: true })
  try {
    const write = async (saved: readonly SavedImage[]) => {
      await writeFormat(tarSink(createWriteStream(temporary, { flags: 'wx', mode: 0o600 })), format, saved)
      await syncFile(temporary)
      await rename(temporary, target)
    }
    return await saving(context, names, options, { write, report })
  } catch (error) {
    await rm(temporary, { force: true })
    throw outputError(error, target)
  }
}

async function saveToDirectory(
  context: Context,
  names: readonly ImageChoice[],
  options: SaveOptions & { readonly format: 'oci' | 'dir' },
  report: Report,
): Promise<SavedImageInfo[]> {
  const { path, format } = options
  const existing = await existingLayout(path, format)
  const write = async (saved: readonly SavedImage[]) => {
    await mkdir(path, { recursive: true })
    await writeFormat(directorySink(path), format, saved, existing)
  }
  return saving(context, names, options, { write, report })
}

/** `index.json` of a layout that is there. Any other directory with something in it is left alone. */
async function existingLayout(path: string, format: 'oci' | 'dir'): Promise<Buffer | undefined> {
  const entries: string[] = await readdir(path).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return []
    throw outputError(error, path)
  })
  if (entries.length === 0) return undefined
  if (format === 'oci' && entries.includes(OCI_INDEX_FILE)) {
    const files = directoryFiles(path, `oci:${path}`)
    await ociLayoutImages(files)
    return files.read(OCI_INDEX_FILE, { maxBytes: MAX_DOCUMENT_BYTES })
  }
  throw new PodlibError('ERR_INVALID_ARGUMENT', `cannot save to ${path}: it is not empty${format === 'oci' ? ' and no OCI layout' : ''}`, {
    details: { path },
  })
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
    const saved = images.map((image) => savedImage(image, reported, format))
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
  await sink.finish()
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

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

function outputError(error: unknown, path: string): unknown {
  const code = errorCode(error)
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return error
  const kind =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'ERR_NO_SPACE'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'ERR_PERMISSION'
        : 'ERR_INVALID_ARGUMENT'
  return new PodlibError(kind, `cannot save to ${path}: ${code}`, { details: { path, systemCode: code }, cause: error })
}

function badChoice(why: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `cannot save so: ${why}`)
}
