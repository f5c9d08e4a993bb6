import { isPodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { RegistryClient } from '../../registry/client-interface.ts'
import type { Credential, RepositoryName } from '../../registry/types.ts'
import type { Digest } from '../../spec/digest.ts'
import { parseReference, type Reference } from '../../spec/reference.ts'
import { type ImageManifestRow, listImageManifests, listImagesOfLayer } from '../../state/image-table.ts'
import { readOrigins } from '../kept-signatures.ts'
import { mountableFrom } from './destination.ts'

/** A blob that need not be sent: the destination has it, or these repositories beside it do. */
export interface AvailableBlob {
  readonly mountFrom: readonly string[]
}

/** More are not asked for one blob. */
const MAX_REPOSITORIES = 3

/** Finds out what the registry has already, asking about each blob once. */
export interface BlobFinder {
  find(digest: Digest, diffId: Digest): Promise<AvailableBlob | undefined>
}

export interface BlobFinderOptions {
  readonly registry: RegistryClient
  readonly reference: Reference
  readonly credential: Credential | undefined
  readonly signal: AbortSignal
}

export function blobFinder(context: Context, { registry, reference, credential, signal }: BlobFinderOptions): BlobFinder {
  const answers = new Map<Digest, Promise<AvailableBlob | undefined>>()
  const has = async (repository: RepositoryName, digest: Digest) => {
    try {
      return await registry.hasBlob(repository, digest, { signal, ...(credential && { credential }) })
    } catch (error) {
      signal.throwIfAborted()
      // Who may not look may still be allowed to write, and is told if not.
      if (isPodlibError(error) && (error.kind === 'denied' || error.kind === 'not-found')) return false
      throw error
    }
  }
  const find = async (digest: Digest, diffId: Digest): Promise<AvailableBlob | undefined> => {
    if (await has(reference, digest)) return { mountFrom: [] }
    for (const repository of mountableFrom(reference, originsOfLayer(context, diffId)).slice(0, MAX_REPOSITORIES))
      if (await has({ registry: reference.registry, repository }, digest)) return { mountFrom: [repository] }
    return undefined
  }
  return {
    find(digest, diffId) {
      const answer = answers.get(digest) ?? find(digest, diffId)
      answers.set(digest, answer)
      return answer
    },
  }
}

/** Whether a manifest came with its image, from a place that has manifests: some are only written when an image is stored. */
export function cameWithImage({ signatures }: Pick<ImageManifestRow, 'signatures'>): boolean {
  const transports = readOrigins(signatures).map(({ identity }) => identity.transport)
  return transports.some((transport) => transport === 'docker' || transport === 'dir' || transport === 'oci' || transport === 'oci-archive')
}

/** Where the images came from that have a layer. */
function originsOfLayer({ db }: Context, diffId: Digest): Reference[] {
  return listImagesOfLayer(db, diffId)
    .flatMap((id) => listImageManifests(db, id))
    .flatMap(({ signatures }) => readOrigins(signatures))
    .flatMap(({ identity }) => (identity.transport === 'docker' ? [identity.reference] : []))
}

/** A blob of a repository that may be read, as it is where a mount is refused. */
export function blobReference({ registry }: Reference, repository: string, digest: Digest): Reference {
  return parseReference(`${registry}/${repository}@${digest}`)
}
