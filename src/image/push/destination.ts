import { PodlibError } from '../../errors/errors.ts'
import type { Context } from '../../lifecycle/context.ts'
import type { Credential } from '../../registry/types.ts'
import type { RawManifest } from '../../spec/descriptor.ts'
import { formatReference, type Reference } from '../../spec/reference.ts'
import type { ImageDestination } from '../../transport/image-destination.ts'

/** More only make a slow line wait longer for the first. */
const PARALLEL_BLOBS = 3

export interface PushCredential {
  readonly credential?: Credential
}

/** A repository of a registry, as the place that an image is copied to. The tag moves when everything else is there. */
export async function registryDestination(
  context: Context,
  reference: Reference,
  { credential }: PushCredential,
): Promise<ImageDestination> {
  const registry = await context.registry()
  const options = (signal: AbortSignal) => ({ signal, ...(credential && { credential }) })
  const { tag } = reference
  return {
    where: formatReference(reference),
    parallel: PARALLEL_BLOBS,
    putBlob: (blob, { onProgress, signal }) =>
      registry.pushBlob(reference, blob, { ...options(signal), onProgress, ...(blob.mountFrom && { mountFrom: blob.mountFrom }) }),
    async putManifest(raw, signal) {
      await registry.pushManifest({ ...reference, tag: undefined, digest: raw.digest }, raw, options(signal))
    },
    async finish(root, signal) {
      assertPromised(reference, root)
      // With both, the digest is what was to be proven, and the tag what is to move.
      const target = tag === undefined ? { ...reference, digest: root.digest } : { ...reference, digest: undefined }
      await registry.pushManifest(target, root, options(signal))
    },
    // Blobs that no manifest names are the registry's to collect.
    abandon: async () => {},
  }
}

/** A destination with a digest takes that manifest and no other. @throws ERR_DIGEST_MISMATCH */
function assertPromised({ digest, name }: Reference, root: RawManifest): void {
  if (digest === undefined || digest === root.digest) return
  throw new PodlibError('ERR_DIGEST_MISMATCH', `cannot push to ${name}@${digest}: the manifest has digest ${root.digest}`, {
    details: { expected: digest, actual: root.digest },
  })
}

/** Repositories of the destination's registry that are known to have the blobs, each once. */
export function mountableFrom(destination: Reference, origins: readonly Reference[]): string[] {
  const same = origins.filter(({ registry, repository }) => registry === destination.registry && repository !== destination.repository)
  return [...new Set(same.map(({ repository }) => repository))]
}
