import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { errorCode, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { parseReference, type Reference } from '../spec/reference.ts'
import { archiveFiles } from '../transport/archive-files.ts'
import { DIR_MANIFEST_FILE, DIR_VERSION_FILE, dirImage } from '../transport/dir.ts'
import { DOCKER_MANIFEST_FILE, dockerArchiveImages, selectArchivedImage } from '../transport/docker-archive.ts'
import { withDaemonImage } from '../transport/docker-daemon.ts'
import { directoryFiles, type FileSet } from '../transport/file-set.ts'
import type { ConfigSource, ImageSource } from '../transport/image-source.ts'
import { type LayoutImage, OCI_INDEX_FILE, OCI_LAYOUT_FILE, ociLayoutImages, selectLayoutImage } from '../transport/oci-layout.ts'
import type { ImageLocation } from '../transport/parse-transport.ts'
import type { ImageIdentity } from '../trust/scopes.ts'
import { withPlainArchive } from './staged-archive.ts'
import { openStoredElsewhere } from './stored-elsewhere.ts'

/** An image somewhere else than in a registry, and what the policy knows it as. */
export interface OpenedImage {
  readonly source: ImageSource
  readonly identity: ImageIdentity
}

/** Everything but a registry: a place with its transport, a file or directory of unknown kind, or a stream. */
export type ImagePlace =
  | Exclude<ImageLocation, { transport: 'docker' }>
  | { readonly transport: undefined; readonly path: string }
  | { readonly transport: undefined; readonly stream: AsyncIterable<Uint8Array> }

export interface OpenOptions<Result> {
  /** Value of `DOCKER_HOST`. */
  readonly dockerHost: string | undefined
  readonly signal: AbortSignal | undefined
  readonly use: (images: readonly OpenedImage[]) => Promise<Result>
}

/** Opens a place and runs `use` with the images that were asked for; all of them when none was named. */
export async function withImages<Result>(context: Context, place: ImagePlace, options: OpenOptions<Result>): Promise<Result> {
  const { signal, use } = options
  if ('stream' in place)
    return withPlainArchive(context, place.stream, { signal, use: async (path) => use(await openArchive(path, '', signal)) })
  if (place.transport === 'docker-daemon') return withDaemon(context, place.image, options)
  if (place.transport === 'containers-storage') return use([openStoredElsewhere(context, place)])
  const path = resolve(place.path)
  const isDirectory = await isDirectoryAt(path)
  const where = `${place.transport ?? 'the images in'}${place.transport ? ':' : ' '}${path}`
  if (place.transport === 'dir') return use([await openDir(path, signal)])
  if (place.transport === 'oci') return use(chooseLayout(await ociLayoutImages(directoryFiles(path, where), signal), { ...place, path }))
  if (place.transport === undefined && isDirectory) return use(await openDirectory(path, signal))
  return withPlainArchive(context, path, {
    signal,
    use: async (plain) => {
      if (place.transport === undefined) return use(await openArchive(plain, path, signal))
      const files = await archiveFiles(plain, where, signal)
      if (place.transport === 'oci-archive') return use(chooseLayout(await ociLayoutImages(files, signal), { ...place, path }))
      return use(chooseArchived(await dockerArchiveImages(files, signal), { ...place, path }))
    },
  })
}

async function openDir(path: string, signal: AbortSignal | undefined): Promise<OpenedImage> {
  return { source: await dirImage(directoryFiles(path, `dir:${path}`), signal), identity: { transport: 'dir', path } }
}

async function openDirectory(path: string, signal: AbortSignal | undefined): Promise<OpenedImage[]> {
  const files = directoryFiles(path, `the images in ${path}`)
  if (await files.has(OCI_LAYOUT_FILE)) return chooseLayout(await ociLayoutImages(files, signal), { transport: 'oci', path })
  if ((await files.has(DIR_VERSION_FILE)) && (await files.has(DIR_MANIFEST_FILE))) return [await openDir(path, signal)]
  throw new PodlibError('ERR_ARCHIVE_INVALID', `${path} is neither an OCI layout nor a directory of the dir transport`, {
    details: { path },
  })
}

/** An archive of unknown kind. One that is both of Docker and an OCI layout is read as the layout, which proves more. */
async function openArchive(plain: string, path: string, signal: AbortSignal | undefined): Promise<OpenedImage[]> {
  const files = await archiveFiles(plain, path === '' ? 'the stream of images' : `the images in ${path}`, signal)
  const identityPath = path === '' ? plain : path
  if ((await files.has(OCI_LAYOUT_FILE)) && (await files.has(OCI_INDEX_FILE))) {
    const images = await ociLayoutImages(files, signal)
    if (await isComplete(files, images)) return chooseLayout(images, { transport: 'oci-archive', path: identityPath })
  }
  if (await files.has(DOCKER_MANIFEST_FILE))
    return chooseArchived(await dockerArchiveImages(files, signal), { transport: 'docker-archive', path: identityPath })
  throw new PodlibError('ERR_ARCHIVE_INVALID', `${files.where} are none: use import for the tar of a root file system`, {
    details: { path },
  })
}

/** Docker with containerd's store lists images in the index whose manifests it leaves out of the archive. */
async function isComplete(files: FileSet, images: readonly LayoutImage[]): Promise<boolean> {
  if (!(await files.has(DOCKER_MANIFEST_FILE))) return true
  const found = await Promise.all(images.map(({ source }) => source.manifest().catch(() => undefined)))
  return images.length > 0 && found.every((raw) => raw !== undefined)
}

interface Choice {
  readonly transport: 'oci' | 'oci-archive' | 'docker-archive'
  readonly path: string
  readonly ref?: string
  readonly index?: number
}

function chooseLayout(images: readonly LayoutImage[], { transport, path, ...choice }: Choice): OpenedImage[] {
  const identity = { transport, path } as ImageIdentity
  const chosen =
    choice.ref === undefined && choice.index === undefined ? images : [selectLayoutImage(images, `${transport}:${path}`, choice)]
  return chosen.map(({ source }) => ({ source, identity }))
}

function chooseArchived(images: readonly ConfigSource[], { path, ...choice }: Choice): OpenedImage[] {
  const named = choice.ref !== undefined || choice.index !== undefined
  const chosen = named ? [selectArchivedImage(images, `docker-archive:${path}`, choice)] : images
  return chosen.map((source) => ({ source, identity: { transport: 'docker-archive', path, ...referenceOf(source.names[0]) } }))
}

async function withDaemon<Result>(context: Context, image: string, { dockerHost, signal, use }: OpenOptions<Result>): Promise<Result> {
  return withDaemonImage({ image, dockerHost, signal }, (archive) =>
    withPlainArchive(context, archive, {
      signal,
      use: async (path) => {
        const images = await dockerArchiveImages(await archiveFiles(path, `docker-daemon:${image}`, signal), signal)
        const name = image.startsWith('sha256:') ? undefined : image
        const identity: ImageIdentity = { transport: 'docker-daemon', image, ...referenceOf(name) }
        return use(images.map((source) => ({ source, identity })))
      },
    }),
  )
}

function referenceOf(name: string | undefined): { readonly reference?: Reference } {
  return name === undefined ? {} : { reference: parseReference(name, { defaultRegistry: 'docker.io' }) }
}

async function isDirectoryAt(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    const code = errorCode(error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') throw error
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', `cannot read images from ${path}: ${code}`, { details: { path, systemCode: code } })
  }
}
