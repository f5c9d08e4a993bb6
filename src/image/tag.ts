import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { formatReference, parseReference } from '../spec/reference.ts'
import { deleteImageName, listImageNames, putImageName } from '../state/image-name-table.ts'
import { getImage, listImageManifests } from '../state/image-table.ts'
import { assertOwnImage } from './additional-images.ts'

/** Gives an image one more name. A short one becomes a name of `localhost`; one that stood for another image moves. */
export async function tagImage(context: Context, id: string, name: string): Promise<string> {
  const reference = parseReference(name, { defaultRegistry: 'localhost' })
  if (reference.digest)
    throw new PodlibError('ERR_INVALID_REFERENCE', `an image cannot be tagged with a digest: '${name}'`, { details: { reference: name } })
  const full = formatReference(reference)
  const { db } = context
  assertOwnImage(context, id)
  await db.transaction(
    () => {
      const row = getImage(db, id)
      const manifest = listImageManifests(db, id)[0]
      if (!row || !manifest) throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} was removed`, { details: { id } })
      const { os, architecture, variant } = row
      putImageName(db, { name: full, os, architecture, variant, imageId: id, manifestDigest: manifest.digest })
      context.events.record({ type: 'image', action: 'tag', id, name: full, attributes: { reference: full } })
    },
    { durable: true },
  )
  return full
}

/** Takes a name from an image; without a name, all of them. The image stays. */
export async function untagImage(context: Context, id: string, name?: string): Promise<void> {
  const { db } = context
  assertOwnImage(context, id)
  const given = name === undefined ? undefined : formatReference(parseReference(name, { defaultRegistry: 'localhost' }))
  await db.transaction(
    () => {
      const names = given === undefined ? listImageNames(db, id).map((row) => row.name) : [given]
      for (const one of names) {
        if (deleteImageName(db, one, id) === 0)
          throw new PodlibError('ERR_IMAGE_NOT_FOUND', `image ${id.slice(0, 12)} has no name ${one}`, { details: { id, name: one } })
        context.events.record({ type: 'image', action: 'untag', id, name: one, attributes: { reference: one } })
      }
    },
    { durable: true },
  )
}
