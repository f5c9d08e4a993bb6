import { PodlibError } from '../errors/errors.ts'
import { digestOf } from '../spec/digest.ts'
import { parseStrictJson } from '../spec/json.ts'
import { formatReference, parseReference } from '../spec/reference.ts'
import type { FileSet } from './file-set.ts'
import { fullNames } from './image-names.ts'
import { type ConfigSource, MAX_DOCUMENT_BYTES } from './image-source.ts'

export const DOCKER_MANIFEST_FILE = 'manifest.json'

/** One image of `docker save`: names of members of the archive. */
interface ArchiveEntry {
  readonly config: string
  readonly repoTags: readonly string[]
  readonly layers: readonly string[]
}

const MAX_MANIFEST_BYTES = 1024 * 1024
const MAX_IMAGES = 10_000
const MAX_LAYERS = 10_000

/**
 * The images of an archive of `docker save`, `podman save` or a build tool. Only `manifest.json` is read; what archives of
 * Docker before 1.10 have instead is refused.
 *
 * @throws ERR_ARCHIVE_INVALID, ERR_ARCHIVE_TOO_LARGE
 */
export async function dockerArchiveImages(files: FileSet, signal?: AbortSignal): Promise<ConfigSource[]> {
  if (!(await files.has(DOCKER_MANIFEST_FILE))) throw invalid(files, `it has no ${DOCKER_MANIFEST_FILE}`)
  const bytes = await files.read(DOCKER_MANIFEST_FILE, { maxBytes: MAX_MANIFEST_BYTES, signal })
  const document = parseStrictJson(bytes.toString('utf8'), { what: DOCKER_MANIFEST_FILE, code: 'ERR_ARCHIVE_INVALID', ignoreCase: true })
  if (!Array.isArray(document) || document.length === 0 || document.length > MAX_IMAGES)
    throw invalid(files, `${DOCKER_MANIFEST_FILE} lists no images`)
  return document.map((entry) => archivedImage(files, parseEntry(files, entry)))
}

/**
 * Chooses an image of an archive as `docker-archive:path:name` or `docker-archive:path:@index` does.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS with what there is
 */
export function selectArchivedImage(
  images: readonly ConfigSource[],
  where: string,
  choice: { ref?: string; index?: number },
): ConfigSource {
  const { ref, index } = choice
  const name = ref && formatReference(parseReference(ref, { defaultRegistry: 'docker.io' }))
  const chosen = images.filter((image, position) => (name === undefined ? (index ?? position) === position : image.names.includes(name)))
  const available = images.flatMap(({ names }, position) => (names.length > 0 ? names : [`@${position}`]))
  const [first] = chosen
  if (first === undefined) {
    throw new PodlibError(
      'ERR_IMAGE_NOT_FOUND',
      `${where} has no ${name ?? `image @${index}`}; it has ${available.slice(0, 40).join(', ')}`,
      {
        details: { where, available },
      },
    )
  }
  if (chosen.length === 1) return first
  throw new PodlibError('ERR_IMAGE_AMBIGUOUS', `${where} has several images, say which: ${available.slice(0, 40).join(', ')}`, {
    details: { where, candidates: available },
  })
}

function archivedImage(files: FileSet, { config, repoTags, layers }: ArchiveEntry): ConfigSource {
  return {
    form: 'config',
    names: fullNames(repoTags, 'docker.io'),
    async config(signal) {
      const bytes = await files.read(config, { maxBytes: MAX_DOCUMENT_BYTES, signal })
      proveConfigName(files, config, bytes)
      return bytes
    },
    layerCount: layers.length,
    layer: async (position) => ({ file: await files.locate(layers[position] ?? '') }),
  }
}

/** Where the name of the config says its digest, that must be true: an image is known by it. */
function proveConfigName(files: FileSet, name: string, bytes: Buffer): void {
  const stated = /(?:^|\/)(?:sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1]
  const actual = digestOf(bytes)
  if (stated === undefined || actual === `sha256:${stated}`) return
  throw new PodlibError('ERR_DIGEST_MISMATCH', `the config ${name} of ${files.where} has digest ${actual}`, {
    details: { expected: `sha256:${stated}`, actual },
  })
}

function parseEntry(files: FileSet, entry: unknown): ArchiveEntry {
  const { Config: config, RepoTags: repoTags, Layers: layers } = (entry ?? {}) as Record<string, unknown>
  if (typeof config !== 'string') throw invalid(files, 'an image has no config')
  if (!isTexts(layers ?? [], MAX_LAYERS)) throw invalid(files, 'an image has no list of layers')
  if (!isTexts(repoTags ?? [], MAX_IMAGES)) throw invalid(files, 'an image has names that are not text')
  return { config, repoTags: (repoTags ?? []) as string[], layers: (layers ?? []) as string[] }
}

function isTexts(value: unknown, most: number): value is string[] {
  return Array.isArray(value) && value.length <= most && value.every((item) => typeof item === 'string')
}

function invalid(files: FileSet, why: string): PodlibError {
  return new PodlibError('ERR_ARCHIVE_INVALID', `${files.where} is no archive of Docker images: ${why}`, {
    details: { where: files.where },
  })
}
