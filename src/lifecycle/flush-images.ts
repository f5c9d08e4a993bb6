import { errorMessage } from '../errors/errors.ts'
import { listImagesWithLayers } from '../state/image-table.ts'
import { getLayer, listUnflushedLayers, updateLayer } from '../state/layer-table.ts'
import type { Context } from './context.ts'

/**
 * Brings images to the disk that can be used already: those that this program has pulled, and those that another left when
 * it died. Nobody waits for it but the closing of the runtime. A failure becomes an event; the next pull or open tries again.
 */
export async function flushImagesBehind(context: Context): Promise<void> {
  try {
    await flushImages(context)
  } catch (failure) {
    const error = errorMessage(failure)
    for (const { id, name } of listImagesWithLayers(context.db, 'staging')) {
      await context.events.publish({ type: 'image', action: 'sync-error', id, name, attributes: { error } }).catch(() => {})
    }
  }
}

/** Resolves when every image of the store is on the disk. */
export async function flushImages({ db, storage }: Context): Promise<void> {
  const layers = listUnflushedLayers(db)
  if (layers.length === 0) return
  await (await storage()).flush()
  const markReady = () => {
    for (const { diffId, createdAt } of layers) {
      const now = getLayer(db, diffId)
      // Meanwhile it may have been removed, and fetched anew.
      if (now?.state === 'staging' && now.createdAt === createdAt) updateLayer(db, diffId, { state: 'ready' })
    }
  }
  await db.transaction(markReady, { durable: true })
}
