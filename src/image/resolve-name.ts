import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { isDigest } from '../spec/digest.ts'
import { formatPlatform, type Platform, platformMatches } from '../spec/platform.ts'
import { getImageName, type ImageNameRow, listImageNames } from '../state/image-name-table.ts'
import { findImagesByManifest, findImagesByPrefix, getImage, type ImageRow } from '../state/image-table.ts'
import type { ForeignImage } from '../storage/additional/containers-store.ts'
import { findForeignImage, foreignImages, foreignRow } from './additional-images.ts'
import { ambiguous, matchName } from './match-name.ts'

/** An image of the store, with the name it was asked for by. */
export interface FoundImage {
  readonly row: ImageRow
  readonly name: string
  /** It was asked for by name, and not by id or digest. */
  readonly named: boolean
  /** Where it lies, if it is not in the own store; the row is made up then. */
  readonly foreign?: ForeignImage
}

/**
 * Finds an image of the store by full name, short name, digest, id or the beginning of an id. A name that stands for
 * images of several platforms gives the one that fits `platform`. What is not there is looked for in the additional stores.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS
 */
export function findImage(context: Context, nameOrId: string, platform: Platform): FoundImage {
  const named = findByName(context, nameOrId, platform)
  if (named) return named
  const ids = findIds(context, nameOrId)
  if (ids.length > 1)
    throw ambiguous(
      nameOrId,
      ids.map((id) => id.slice(0, 12)),
    )
  const row = ids[0] === undefined ? undefined : getImage(context.db, ids[0])
  if (row === undefined) return findElsewhere(context, nameOrId)
  return { row, name: listImageNames(context.db, row.id)[0]?.name ?? row.id, named: false }
}

function findElsewhere(context: Context, nameOrId: string): FoundImage {
  const found = findForeignImage(foreignImages(context), nameOrId)
  if (found === undefined) throw notFound(nameOrId)
  return { row: foreignRow(found.image), name: found.name, named: found.named, foreign: found.image }
}

function findByName(context: Context, text: string, platform: Platform): FoundImage | undefined {
  for (const name of matchName(text, () => new Set(listImageNames(context.db).map(({ name }) => name)))) {
    const rows = getImageName(context.db, name)
    const fitting = rows.find((row) => platformMatches(platformOf(row), platform)) ?? onlyOne(rows)
    if (fitting) return { row: getImage(context.db, fitting.imageId) as ImageRow, name, named: true }
    if (rows.length > 1)
      throw ambiguous(
        text,
        rows.map((row) => formatPlatform(platformOf(row))),
      )
  }
  return undefined
}

function onlyOne(rows: readonly ImageNameRow[]): ImageNameRow | undefined {
  return rows.length === 1 ? rows[0] : undefined
}

function platformOf({ os, architecture, variant }: ImageNameRow): Platform {
  return { os, architecture, ...(variant && { variant }) }
}

function findIds(context: Context, text: string): string[] {
  const at = text.indexOf('@')
  const digest = at < 0 ? text : text.slice(at + 1)
  if (isDigest(digest))
    return [...new Set([...findImagesByManifest(context.db, digest), ...(getImage(context.db, digest.slice(7)) ? [digest.slice(7)] : [])])]
  return /^[0-9a-f]{3,64}$/.test(text) ? findImagesByPrefix(context.db, text) : []
}

function notFound(nameOrId: string): PodlibError {
  return new PodlibError('ERR_IMAGE_NOT_FOUND', `no image ${JSON.stringify(nameOrId)} in the store; pull it first`, {
    details: { image: nameOrId },
  })
}
