import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode, PodlibError } from '../errors/errors.ts'
import type { RawManifest } from '../spec/descriptor.ts'
import { digestHex } from '../spec/digest.ts'
import { DIR_MANIFEST_FILE, dirBlobName } from './dir.ts'
import { directoryFiles } from './file-set.ts'
import { directorySink, type FileSink, type SinkContent, tarSink } from './file-sink.ts'
import type { ImageDestination } from './image-destination.ts'
import { MAX_DOCUMENT_BYTES } from './image-source.ts'
import { blobName, OCI_INDEX_FILE, ociLayoutImages } from './oci-layout.ts'
import { bytesContent, writeDirVersion, writeLayoutIndex } from './saved-image.ts'

/** Where files are to be, with the name of the image in an OCI layout. */
export interface FileDestination {
  readonly transport: 'oci' | 'oci-archive' | 'dir'
  /** Absolute. */
  readonly path: string
  readonly ref?: string
}

const PARALLEL_BLOBS = 3

/**
 * A file or directory for an image. All of it has another name until it is complete; only the blobs for a layout that is
 * added to are put beside those that it has, and are taken away again when nothing comes of it.
 *
 * @throws ERR_INVALID_ARGUMENT for a directory that has something else in it
 */
export async function openFileDestination(destination: FileDestination): Promise<ImageDestination> {
  const { transport, path } = destination
  if (transport === 'oci-archive') return layoutDestination(destination, await archiveOutput(path))
  const existing = await existingLayout(path, transport)
  const output = await directoryOutput(path)
  return transport === 'dir' ? dirDestination(path, output) : layoutDestination(destination, output, existing)
}

/** `index.json` of a layout that is there. Any other directory with something in it is left alone. */
export async function existingLayout(path: string, format: 'oci' | 'dir'): Promise<Buffer | undefined> {
  const entries: string[] = await readdir(path).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return []
    throw error
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

/** Files that get their place together. */
export interface Output {
  readonly sink: FileSink
  readonly parallel: number
  readonly publish: () => Promise<void>
  readonly discard: () => Promise<void>
}

/** A tar with another name until it is complete. */
export async function archiveOutput(path: string): Promise<Output> {
  const temporary = await temporaryBeside(path)
  const stream = createWriteStream(temporary, { flags: 'wx', mode: 0o600 })
  const sink = tarSink(stream)
  return {
    sink,
    parallel: 1,
    async publish() {
      await sink.finish()
      await syncFile(temporary)
      await rename(temporary, path)
    },
    async discard() {
      stream.destroy()
      if (!stream.closed) await new Promise<void>((resolve) => stream.once('close', () => resolve()))
      await rm(temporary, { force: true })
    },
  }
}

/** A directory with another name until it is complete; one that is there stays, and gets more files. */
export async function directoryOutput(path: string): Promise<Output> {
  if (!(await isMissing(path))) return addingOutput(path)
  const temporary = await temporaryBeside(path)
  await mkdir(temporary)
  return {
    sink: directorySink(temporary),
    parallel: PARALLEL_BLOBS,
    publish: () => rename(temporary, path),
    discard: () => rm(temporary, { recursive: true, force: true }),
  }
}

function addingOutput(path: string): Output {
  const inner = directorySink(path)
  const added: string[] = []
  const noting = async (name: string, write: () => Promise<void>) => {
    const isNew = await isMissing(join(path, name))
    await write()
    if (isNew) added.push(name)
  }
  return {
    sink: {
      add: (name, content) => noting(name, () => inner.add(name, content)),
      write: (name, bytes) => noting(name, () => inner.write(name, bytes)),
      finish: inner.finish,
    },
    parallel: PARALLEL_BLOBS,
    publish: inner.finish,
    async discard() {
      for (const name of added) await rm(join(path, name), { force: true })
    },
  }
}

function layoutDestination({ transport, path, ref }: FileDestination, output: Output, existing?: Buffer): ImageDestination {
  const { sink, parallel, publish, discard } = output
  const addManifest = ({ digest, bytes }: RawManifest) => sink.add(blobName(digest), bytesContent(bytes, digest))
  return {
    where: `${transport}:${path}${ref === undefined ? '' : `:${ref}`}`,
    parallel,
    putBlob: (blob, { onProgress }) => putFile(sink, blobName(blob.digest), { blob, onProgress }),
    putManifest: addManifest,
    async finish(root) {
      await addManifest(root)
      await writeLayoutIndex(sink, [{ names: ref === undefined ? [] : [ref], manifest: root }], existing)
      await publish()
    },
    abandon: discard,
  }
}

function dirDestination(path: string, { sink, parallel, publish, discard }: Output): ImageDestination {
  return {
    where: `dir:${path}`,
    parallel,
    putBlob: (blob, { onProgress }) => putFile(sink, dirBlobName(blob.digest), { blob, onProgress }),
    putManifest: ({ digest, bytes }) => sink.write(`${digestHex(digest)}.manifest.json`, bytes),
    async putSignatureFiles(digest, files, isRoot) {
      const prefix = isRoot ? '' : `${digestHex(digest)}.`
      for (const [position, file] of files.entries()) await sink.write(`${prefix}signature-${position + 1}`, file)
    },
    async finish({ bytes }) {
      await writeDirVersion(sink)
      await sink.write(DIR_MANIFEST_FILE, bytes)
      await publish()
    },
    abandon: discard,
  }
}

interface PutFile {
  readonly blob: SinkContent
  readonly onProgress: (bytes: number) => void
}

/** What the sink has already it does not read. */
async function putFile(sink: FileSink, name: string, { blob, onProgress }: PutFile): Promise<'present' | 'uploaded'> {
  let isRead = false
  async function* open() {
    isRead = true
    let bytes = 0
    for await (const chunk of blob.open()) {
      bytes += chunk.length
      onProgress(bytes)
      yield chunk
    }
  }
  await sink.add(name, { ...blob, open })
  return isRead ? 'uploaded' : 'present'
}

async function temporaryBeside(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  return `${path}.${randomBytes(6).toString('hex')}.partial`
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

async function isMissing(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (error) => errorCode(error) === 'ENOENT',
  )
}
