import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { drainJob } from '../host/drain.ts'
import type { Context } from '../lifecycle/context.ts'
import { parseReference } from '../spec/reference.ts'
import type { ForeignImage, ForeignLayer } from '../storage/additional/containers-store.ts'
import type { ConfigSource } from '../transport/image-source.ts'
import type { StorageLocation } from '../transport/parse-transport.ts'
import type { ImageIdentity } from '../trust/scopes.ts'
import { findForeignImage } from './additional-images.ts'
import { ioPath } from './io-path.ts'

/**
 * An image of a store of containers/storage, to be copied: `containers-storage:[root]name`. Its layers are written as the tars
 * that they were, from the unpacked files and the record that the store keeps of each.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS, ERR_STORE_UNREADABLE, ERR_STORE_UNSUPPORTED, ERR_PERMISSION
 */
export function openStoredElsewhere(context: Context, place: StorageLocation): { source: ConfigSource; identity: ImageIdentity } {
  const { driver = 'overlay' } = place
  const root = realRoot(place.root ?? context.imageStores.defaultRoot)
  if (driver !== 'overlay')
    throw new PodlibError('ERR_STORE_UNSUPPORTED', `cannot read the image store ${root}: podlib reads overlay only, not ${driver}`, {
      details: { root },
    })
  const found = findForeignImage(context.imageStores.open(root).images(), place.image)
  if (found === undefined)
    throw new PodlibError('ERR_IMAGE_NOT_FOUND', `no image ${JSON.stringify(place.image)} in the image store ${root}`, {
      details: { image: place.image, root },
    })
  const { image, name, named } = found
  return { source: imageSource(context, image), identity: storedIdentity(image, named ? name : undefined) }
}

/** What a policy is asked about. */
export function storedIdentity({ id, store }: ForeignImage, name: string | undefined): ImageIdentity {
  const reference = name === undefined ? {} : { reference: parseReference(name) }
  return { transport: 'containers-storage', driver: 'overlay', root: realRoot(store), imageId: id, ...reference }
}

function imageSource(context: Context, { names, configBytes, layers }: ForeignImage): ConfigSource {
  return {
    form: 'config',
    names,
    config: async () => configBytes,
    layerCount: layers.length,
    layer: async (position) => ({ stream: Readable.from(foreignLayerTar(context, layers[position] as ForeignLayer, context.closing)) }),
  }
}

/** The tar of a layer, while a worker writes it. */
export async function* foreignLayerTar(
  context: Context,
  { tarSplit, tree }: ForeignLayer,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const host = await context.host()
  const path = ioPath(context, 'tar')
  const write = (either: AbortSignal) => host.run('split-tar', { record: tarSplit, tree, target: path }, { signal: either, unqueued: true })
  yield* drainJob(path, write, signal)
}

/** The policy is asked about the directory itself, not about a link to it. */
function realRoot(root: string): string {
  try {
    return realpathSync(resolve(root))
  } catch (error) {
    const code = errorCode(error)
    const kind = code === 'EACCES' ? 'ERR_PERMISSION' : 'ERR_STORE_UNREADABLE'
    throw new PodlibError(kind, `cannot read the image store ${root}: ${code}`, { details: { root, systemCode: code }, cause: error })
  }
}
