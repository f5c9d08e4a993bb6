import { errorMessage } from '../errors/errors.ts'
import { listImagesWithLayers } from '../state/image-table.ts'
import { getLayer, listUnflushedLayers, updateLayer } from '../state/layer-table.ts'
import type { Context } from './context.ts'
import { forgetRefused } from './lost-layers.ts'

/**
 * Brings images to the disk that can be used already: those that this program has pulled, and those that another left when
 * it died. Nobody waits for it but the closing of the runtime. A failure becomes an event.
 */
export async function flushImagesBehind(context: Context): Promise<void> {
  // Before: those that the disk refuses are forgotten.
  const unflushed = listImagesWithLayers(context.db, 'staging')
  if (unflushed.length === 0) return
  try {
    await flushImages(context)
  } catch (failure) {
    const error = errorMessage(failure)
    for (const { id, name } of unflushed) {
      await context.events.publish({ type: 'image', action: 'sync-error', id, name, attributes: { error } }).catch(() => {})
    }
  }
}

/** Resolves when every image of the store is on the disk. @throws ERR_SYNC_FAILED, see {@link flushStore} */
export async function flushImages(context: Context): Promise<void> {
  const { db } = context
  const layers = listUnflushedLayers(db)
  if (layers.length === 0) return
  await flushStore(context)
  const markReady = () => {
    for (const { diffId, createdAt } of layers) {
      const now = getLayer(db, diffId)
      // Meanwhile it may have been removed, and fetched anew.
      if (now?.state === 'staging' && now.createdAt === createdAt) updateLayer(db, diffId, { state: 'ready' })
    }
  }
  await db.transaction(markReady, { durable: true })
}

/**
 * Brings everything that was written to the store to the disk.
 *
 * @throws ERR_SYNC_FAILED when the disk refuses it, after {@link forgetRefused}
 */
export async function flushStore(context: Context): Promise<void> {
  const storage = await context.storage()
  await storage.flush().catch((error: unknown) => forgetRefused(context, error))
}
