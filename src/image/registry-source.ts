import type { Context } from '../lifecycle/context.ts'
import type { Endpoint } from '../registry/types.ts'
import { formatReference, type Reference } from '../spec/reference.ts'
import type { ManifestSource } from '../transport/image-source.ts'
import { registryBlob } from './registry-blob.ts'

/** An image in a registry. What a mirror began to serve it is asked for first from then on. */
export async function registrySource(context: Context, reference: Reference): Promise<ManifestSource> {
  const registry = await context.registry()
  let endpoint: Endpoint | undefined
  const options = (signal: AbortSignal | undefined) => ({ ...(endpoint && { endpoint }), ...(signal && { signal }) })
  return {
    form: 'manifest',
    names: [formatReference(reference)],
    async manifest(digest, signal) {
      const target = digest === undefined ? reference : { ...reference, tag: undefined, digest }
      const raw = await registry.manifest(target, options(signal))
      endpoint = raw.endpoint
      return raw
    },
    blobBytes: (descriptor, { maxBytes, signal }) => registry.blobBytes(reference, descriptor, { ...options(signal), maxBytes }),
    async blob(descriptor, signal) {
      const size = descriptor.size ?? (await registry.blobSize(reference, descriptor.digest, options(signal)))
      const { onRegistryWarning: onWarning } = context
      return registryBlob({ registry, reference, descriptor: { ...descriptor, size }, options: options(signal), onWarning })
    },
  }
}
