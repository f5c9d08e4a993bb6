import { createHash } from 'node:crypto'
import { isPodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import type { Digest } from '../spec/digest.ts'
import { listImageLayers } from '../state/image-table.ts'
import type { ForeignImage } from '../storage/additional/containers-store.ts'
import { foreignLayerTar } from './stored-elsewhere.ts'

/** Whether a layer as it lies in a store is the one that the image names. @public */
export interface LayerProof {
  readonly diffId: Digest
  readonly intact: boolean
  /** What is wrong with it. */
  readonly problem: string | undefined
}

/**
 * Makes the tar of every layer again from its files, bottom first, and compares its digest with the diff ID: what is proven
 * when an image is pulled, for one that somebody else has stored, or that may have been changed since. Attributes come from
 * the record beside the files: a changed owner or mode of an unpacked file does not show.
 */
export async function proveLayers(
  context: Context,
  { id, foreign }: { readonly id: string; readonly foreign: ForeignImage | undefined },
  signal: AbortSignal | undefined,
): Promise<LayerProof[]> {
  const proofs: LayerProof[] = []
  const checks = foreign
    ? foreign.layers.map((layer) => ({ diffId: layer.diffId, digest: () => digestOfTar(foreignLayerTar(context, layer, signal)) }))
    : listImageLayers(context.db, id).map(({ diffId }) => ({ diffId, digest: () => proveOwn(context, diffId, signal) }))
  for (const { diffId, digest } of checks) {
    signal?.throwIfAborted()
    const problem = await problemOf(diffId, digest)
    proofs.push({ diffId, intact: problem === undefined, problem })
  }
  return proofs
}

async function problemOf(diffId: Digest, digest: () => Promise<Digest>): Promise<string | undefined> {
  try {
    const found = await digest()
    return found === diffId ? undefined : `its tar is ${found}`
  } catch (error) {
    if (isPodlibError(error, 'ERR_STORE_CORRUPT') || isPodlibError(error, 'ERR_LAYER_NOT_FOUND')) return error.message
    throw error
  }
}

/** The job that writes the tar compares it itself. */
async function proveOwn(context: Context, diffId: Digest, signal: AbortSignal | undefined): Promise<Digest> {
  await (await context.storage()).writeTar(diffId, { path: '/dev/null' }, signal)
  return diffId
}

async function digestOfTar(tar: AsyncIterable<Buffer>): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const chunk of tar) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}
