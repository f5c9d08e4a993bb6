import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import type { EventDraft } from '../../../src/events/event.ts'
import type { Context } from '../../../src/lifecycle/context.ts'
import { flushImagesBehind } from '../../../src/lifecycle/flush-images.ts'
import { MEDIA_TYPES } from '../../../src/spec/media-types.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { insertImage } from '../../../src/state/image-table.ts'
import { insertLayer, listLayers, updateLayer } from '../../../src/state/layer-table.ts'
import { digestOfWord, idOf, imageRow, layerRow } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()

/** A store with an image of the layers `a` and `b`, and a layer of an image that is still being pulled; none is known to be on the disk. */
async function stored(flush: (db: Database) => Promise<void>) {
  const db = await openDatabase(join(newDirectory(), 'podlib.db'))
  await db.transaction(() => {
    for (const word of ['a', 'b', 'other']) insertLayer(db, layerRow(word, { state: 'staging' }))
    insertImage(
      db,
      imageRow('image'),
      ['a', 'b'].map((word) => ({
        diffId: digestOfWord(word),
        blobDigest: digestOfWord(word),
        blobSize: 1,
        mediaType: MEDIA_TYPES.ociLayer,
      })),
    )
  })
  const events: EventDraft[] = []
  const context = {
    db,
    storage: async () => ({ flush: () => flush(db) }),
    events: { publish: async (event: EventDraft) => void events.push(event) },
  } as unknown as Context
  const states = () => Object.fromEntries(listLayers(db).map(({ diffId, state }) => [diffId, state]))
  return { context, events, states, db }
}

const [A, B, OTHER] = ['a', 'b', 'other'].map(digestOfWord) as [string, string, string]

test('what images have is on the disk afterwards, and the rows say so', async () => {
  let flushes = 0
  const { context, events, states, db } = await stored(async () => void flushes++)
  for (let turn = 0; turn < 2; turn++) await flushImagesBehind(context)
  expect(states()).toEqual({ [A]: 'ready', [B]: 'ready', [OTHER]: 'staging' })
  expect([flushes, events]).toEqual([1, []])
  db.close()
})

test('a layer that is removed and fetched anew meanwhile is not known to be on the disk', async () => {
  const { context, states, db } = await stored((db) =>
    db.transaction(() => {
      updateLayer(db, digestOfWord('a'), { createdAt: 1 })
      updateLayer(db, digestOfWord('b'), { state: 'deleting' })
    }),
  )
  await flushImagesBehind(context)
  expect(states()).toMatchObject({ [A]: 'staging', [B]: 'deleting' })
  db.close()
})

test('a disk that fails is told in an event, and the rows stay as they are', async () => {
  const { context, events, states, db } = await stored(() => Promise.reject(new Error('the disk is broken')))
  await flushImagesBehind(context)
  const id = idOf('image')
  expect(events).toEqual([{ type: 'image', action: 'sync-error', id, name: id, attributes: { error: 'the disk is broken' } }])
  expect(states()).toEqual({ [A]: 'staging', [B]: 'staging', [OTHER]: 'staging' })
  db.close()
})
