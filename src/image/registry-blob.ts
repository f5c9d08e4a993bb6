import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { RegistryClient, RegistryRequestOptions } from '../registry/client-interface.ts'
import { isSameEndpoint, warnOfWrong } from '../registry/failover.ts'
import { combinedError } from '../registry/registry-errors.ts'
import type { Endpoint, RegistryWarning } from '../registry/types.ts'
import type { Descriptor } from '../spec/descriptor.ts'
import type { Digest } from '../spec/digest.ts'
import type { Reference } from '../spec/reference.ts'
import type { BlobContent } from '../transport/image-source.ts'

export interface RegistryBlob {
  readonly registry: RegistryClient
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly options: RegistryRequestOptions
  readonly onWarning: (warning: RegistryWarning) => void
}

interface Failure {
  readonly endpoint: Endpoint
  readonly error: unknown
}

/**
 * A blob of a registry, streamed. When its bytes turn out wrong, the endpoint that they began to come from is left out and
 * the next one is asked, from the first byte: bytes of two endpoints are only mixed while both may be right.
 */
export function registryBlob(blob: RegistryBlob, failures: readonly Failure[] = []): BlobContent {
  const { registry, reference, descriptor, options } = blob
  const served: Endpoint[] = []
  const avoid = failures.map(({ endpoint }) => endpoint)
  const stream = registry.blob(reference, descriptor, { ...options, avoid, onEndpoint: (endpoint) => served.push(endpoint) })
  return { stream, instead: async (error) => elsewhere(blob, { error, served, failures }) }
}

interface Rejected {
  readonly error: unknown
  /** Who gave its bytes, first to last. */
  readonly served: readonly Endpoint[]
  readonly failures: readonly Failure[]
}

/** @throws what was wrong at the last endpoint, with what was wrong at the others, when nobody is left to ask */
function elsewhere(blob: RegistryBlob, { error, served, failures }: Rejected): BlobContent {
  const [endpoint] = served
  if (endpoint === undefined || !mayBeWrongBytes(error, blob.descriptor.digest)) {
    throw combinedError([...failures, { endpoint: endpoint ?? registryItself(blob), error }])
  }
  const now = [...failures, { endpoint, error: namingPlaces(error, served) }]
  const isLeft = (candidate: Endpoint) => !now.some((failure) => isSameEndpoint(failure.endpoint, candidate))
  if (!blob.registry.endpoints(blob.reference).some(isLeft)) throw combinedError(now)
  warnOfWrong({ endpoint, error: namingPlaces(error, served) }, blob.onWarning)
  return registryBlob(blob, now)
}

function registryItself({ reference: { registry, repository } }: RegistryBlob): Endpoint {
  return { registry, repository, insecure: false, mirror: false }
}

/** Whether other bytes could have done better. What is too large or not supported is not read to its end, so nobody knows its digest. */
function mayBeWrongBytes(error: unknown, digest: Digest): error is PodlibError {
  if (!isPodlibError(error)) return false
  // A wrong diff ID is a lie of the image about the right bytes.
  if (error.code === 'ERR_DIGEST_MISMATCH') return error.details.expected === digest
  return ['ERR_SIZE_MISMATCH', 'ERR_COMPRESSION_UNSUPPORTED', 'ERR_LAYER_TOO_LARGE'].includes(error.code)
}

function namingPlaces(error: PodlibError, served: readonly Endpoint[]): PodlibError {
  const places = served.map(({ registry, repository }) => `${registry}/${repository}`)
  const details = { ...error.details, registry: served[0]?.registry, repository: served[0]?.repository, servedBy: places }
  return new PodlibError(error.code, `${error.message}; it was served by ${places.join(', then ')}`, { details, cause: error })
}
