import { PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf, parseDigest } from '../spec/digest.ts'
import { type FileSet, readProven } from './file-set.ts'
import { MAX_DOCUMENT_BYTES, type ManifestSource } from './image-source.ts'

export const DIR_VERSION_FILE = 'version'
export const DIR_MANIFEST_FILE = 'manifest.json'

const VERSION = /^Directory Transport Version: 1\.\d+\s*$/

/**
 * The one image of a directory of the `dir:` transport: manifest, blobs named by their digests, signatures beside them.
 *
 * @throws ERR_ARCHIVE_INVALID
 */
export async function dirImage(files: FileSet, signal?: AbortSignal): Promise<ManifestSource> {
  const version = (await files.read(DIR_VERSION_FILE, { maxBytes: 1024, signal })).toString('utf8')
  if (!VERSION.test(version))
    throw new PodlibError('ERR_ARCHIVE_INVALID', `${files.where} is no image directory: its version file is of another kind`)
  return {
    form: 'manifest',
    names: [],
    async manifest(digest, manifestSignal) {
      const limits = { maxBytes: MAX_DOCUMENT_BYTES, signal: manifestSignal }
      if (digest !== undefined) {
        return { mediaType: '', digest, bytes: await readProven(files, `${digestHex(digest)}.manifest.json`, { digest, ...limits }) }
      }
      const bytes = await files.read(DIR_MANIFEST_FILE, limits)
      return { mediaType: '', digest: digestOf(bytes), bytes }
    },
    blobBytes: ({ digest, size }, { maxBytes, signal: blobSignal }) =>
      readProven(files, dirBlobName(digest), { digest, size, maxBytes, signal: blobSignal }),
    blob: async ({ digest }) => ({ file: await files.locate(dirBlobName(digest)) }),
    async *signatures(digest, limits) {
      // Those of the image are plain, those of a platform of it carry its digest.
      const root = digestOf(await files.read(DIR_MANIFEST_FILE, { maxBytes: MAX_DOCUMENT_BYTES, signal: limits.signal }))
      const prefix = digest === root ? '' : `${digestHex(digest)}.`
      for (let number = 1; await files.has(`${prefix}signature-${number}`); number++)
        yield files.read(`${prefix}signature-${number}`, limits)
    },
  }
}

/** sha256 goes without saying. */
export function dirBlobName(digest: Digest): string {
  const hex = digestHex(parseDigest(digest))
  return digestAlgorithm(digest) === 'sha256' ? hex : `${digestAlgorithm(digest)}-${hex}`
}
