import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { flushImagesBehind, flushStore } from '../lifecycle/flush-images.ts'
import { type Digest, digestHex } from '../spec/digest.ts'
import type { ImageConfig } from '../spec/image.ts'
import { normalizePlatform, type Platform } from '../spec/platform.ts'
import { getImageName, putImageName } from '../state/image-name-table.ts'
import { insertImage, listImageManifests, putImageManifest } from '../state/image-table.ts'
import { getLayer, type LayerRow, updateLayer } from '../state/layer-table.ts'
import type { CompleteImage } from './image-plan.ts'
import { addOrigin, type KeptOrigin } from './kept-signatures.ts'

export interface StoreImageInput extends CompleteImage {
  /** Full names that lead to the image from now on. */
  readonly names: readonly string[]
  /** Whether a name may be taken from another image. */
  readonly replaceNames: boolean
  readonly action: 'pull' | 'load' | 'import' | 'build'
  /** Whether it must be on the disk when it is stored, and not a moment later. */
  readonly durable: boolean
  /** Where it came from, if from anywhere, with what was fetched to judge it. */
  readonly origin?: KeptOrigin
}

/**
 * Makes an image of layers that are in the store: one transaction says that it is there. Before that everything of it has
 * reached the disk, or, if it need not be durable, reaches it a moment later: a power cut takes the whole image until then.
 *
 * @throws ERR_LAYER_NOT_FOUND when a layer was removed meanwhile; ERR_IMAGE_NAME_EXISTS; ERR_SYNC_FAILED
 */
export async function storeImage(context: Context, input: StoreImageInput): Promise<string> {
  const { db } = context
  const { raw, index, config, configBytes, configDigest, layers, names, replaceNames, action, durable, origin } = input
  const storage = await context.storage()
  const diffIds = config.rootfs.diff_ids
  const before = new Map(diffIds.map((diffId) => [diffId, getLayer(db, diffId)]))
  const assertUnchanged = () => {
    for (const [diffId, layer] of before) assertSame(layer, getLayer(db, diffId), diffId)
  }
  const written = [...before.values()].some((layer) => layer?.state === 'staging')
  const isLater = written && !durable
  const sealed = await storage.seal(diffIds).catch((error: unknown) => {
    // A layer that is being removed cannot be sealed, whatever the system calls that.
    assertUnchanged()
    throw error
  })
  if ((written || sealed) && !isLater) await flushStore(context)
  const id = digestHex(configDigest)
  const { os, architecture, variant = '' } = normalizePlatform(config)
  await db.transaction(
    () => {
      if (!replaceNames) assertNamesFree(context, names, id, { os, architecture, variant })
      const size = diffIds.reduce((sum, diffId) => sum + (getLayer(db, diffId)?.size ?? 0), 0)
      const labels = config.config?.Labels ?? {}
      insertImage(
        db,
        { id, createdAt: buildTime(config), storedAt: Date.now(), os, architecture, variant, size, labels, config: configBytes },
        layers,
      )
      assertUnchanged()
      for (const diffId of before.keys()) updateLayer(db, diffId, { ...(!isLater && { state: 'ready' }), lastUsedAt: Date.now() })
      const kept = listImageManifests(db, id).find(({ digest }) => digest === raw.digest)?.signatures ?? null
      putImageManifest(db, {
        imageId: id,
        digest: raw.digest,
        mediaType: raw.mediaType,
        bytes: raw.bytes,
        indexDigest: index?.digest ?? null,
        indexBytes: index?.bytes ?? null,
        signatures: origin ? addOrigin(kept, origin) : kept,
      })
      for (const name of names) putImageName(db, { name, os, architecture, variant, imageId: id, manifestDigest: raw.digest })
      context.events.record({
        type: 'image',
        action,
        id,
        name: names[0] ?? id,
        attributes: { digest: raw.digest, ...(names[0] && { reference: names[0] }) },
      })
    },
    { durable: !isLater },
  )
  if (isLater) context.background.add(flushImagesBehind(context))
  return id
}

/**
 * Refuses names that stand for another image: an archive must not change what `alpine` is by merely being loaded.
 *
 * @param platform - of the image; a name can stand for one image of each
 * @throws ERR_IMAGE_NAME_EXISTS
 */
export function assertNamesFree(context: Context, names: readonly string[], id: string, platform?: Platform): void {
  for (const name of names) {
    const rows = getImageName(context.db, name).filter((row) => platform === undefined || samePlatform(row, platform))
    const other = rows.find((row) => row.imageId !== id)
    // Of another platform it may be, when the platform is not known yet: the commit looks again.
    if (other === undefined || (platform === undefined && rows.length > 1)) continue
    throw new PodlibError(
      'ERR_IMAGE_NAME_EXISTS',
      `${name} is the name of image ${other.imageId.slice(0, 12)}: give replaceNames to move it, or names to choose others`,
      { details: { name, imageId: other.imageId } },
    )
  }
}

function samePlatform(row: Required<Platform>, { os, architecture, variant }: Platform): boolean {
  return row.os === os && row.architecture === architecture && row.variant === (variant ?? '')
}

/** What was sealed must be what becomes part of the image: somebody may be removing it, or have fetched it anew. */
function assertSame(before: LayerRow | undefined, now: LayerRow | undefined, diffId: Digest): void {
  if (now !== undefined && now.state !== 'deleting' && now.createdAt === before?.createdAt) return
  throw new PodlibError('ERR_LAYER_NOT_FOUND', `layer ${diffId} was removed meanwhile`, { details: { diffId } })
}

/** When an image was built, if its config says. */
export function buildTime(config: ImageConfig): number | null {
  const time = Date.parse(config.created ?? '')
  return Number.isNaN(time) ? null : time
}
