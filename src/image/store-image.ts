import type { Context } from '../lifecycle/context.ts'
import type { ImageManifest, RawManifest } from '../spec/descriptor.ts'
import { digestHex } from '../spec/digest.ts'
import type { ImageConfig } from '../spec/image.ts'
import { normalizePlatform } from '../spec/platform.ts'
import { putImageName } from '../state/image-name-table.ts'
import { insertImage, putImageManifest } from '../state/image-table.ts'
import { getLayer, updateLayer } from '../state/layer-table.ts'

export interface StoreImageInput {
  readonly raw: RawManifest
  readonly manifest: ImageManifest
  readonly index: RawManifest | undefined
  readonly config: ImageConfig
  readonly configBytes: Uint8Array
  /** Full names that lead to the image from now on. */
  readonly names: readonly string[]
  readonly action: 'pull' | 'load' | 'import' | 'build'
}

/**
 * Makes an image of layers that are in the store: everything of it reaches the disk, then one transaction says that it
 * is there.
 *
 * @throws ERR_LAYER_NOT_FOUND when a layer was removed meanwhile.
 */
export async function storeImage(context: Context, input: StoreImageInput): Promise<string> {
  const { db } = context
  const { raw, manifest, index, config, configBytes, names, action } = input
  const storage = await context.storage()
  const diffIds = config.rootfs.diff_ids
  if (diffIds.some((diffId) => getLayer(db, diffId)?.state === 'staging')) await storage.seal(diffIds)
  const id = digestHex(manifest.config.digest)
  const { os, architecture, variant = '' } = normalizePlatform(config)
  await db.transaction(
    () => {
      const layers = manifest.layers.map((blob, position) => ({
        diffId: diffIds[position] as (typeof diffIds)[number],
        blobDigest: blob.digest,
        blobSize: blob.size,
        mediaType: blob.mediaType,
      }))
      const size = diffIds.reduce((sum, diffId) => sum + (getLayer(db, diffId)?.size ?? 0), 0)
      const labels = config.config?.Labels ?? {}
      insertImage(
        db,
        { id, createdAt: buildTime(config), storedAt: Date.now(), os, architecture, variant, size, labels, config: configBytes },
        layers,
      )
      for (const diffId of new Set(diffIds)) updateLayer(db, diffId, { state: 'ready', lastUsedAt: Date.now() })
      putImageManifest(db, {
        imageId: id,
        digest: raw.digest,
        mediaType: raw.mediaType,
        bytes: raw.bytes,
        indexDigest: index?.digest ?? null,
        indexBytes: index?.bytes ?? null,
        signatures: null,
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
    { durable: true },
  )
  return id
}

function buildTime(config: ImageConfig): number | null {
  const time = Date.parse(config.created ?? '')
  return Number.isNaN(time) ? null : time
}
