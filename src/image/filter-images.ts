import type { Context } from '../lifecycle/context.ts'
import { listContainers } from '../state/container-listing.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import type { ImageSummary } from './inspect.ts'
import { findImage } from './resolve-name.ts'

/** Which images a listing or pruning takes; all conditions must hold. @public */
export interface ImageFilter {
  /**
   * Patterns of names, of which one must fit: `alpine`, `docker.io/library/*:3.*`. `*` and `?` stand for anything but a
   * slash, `**` for anything. A pattern may leave out the tag and the beginning of the name.
   */
  readonly reference?: string | readonly string[]
  /** Labels it must have, with this value or with `true` for any. */
  readonly labels?: Readonly<Record<string, string | true>>
  /** Whether it has no name. */
  readonly dangling?: boolean
  /** Whether a container was made from it. */
  readonly inUse?: boolean
  /** Built before this image, by name or id, or before this time. */
  readonly before?: string | Date
  /** Built after this image, by name or id, or after this time. */
  readonly since?: string | Date
}

const FILTER: OptionNames<ImageFilter> = { reference: true, labels: true, dangling: true, inUse: true, before: true, since: true }

/** Those of the images that a filter takes, in their order. @throws ERR_IMAGE_NOT_FOUND for an image that the filter names */
export function filterImages(context: Context, images: readonly ImageSummary[], filter: ImageFilter): ImageSummary[] {
  checkOptions('images.list', filter, FILTER)
  const { labels, dangling, inUse, before, since } = filter
  const patterns = filter.reference === undefined ? undefined : [filter.reference].flat().map(referencePattern)
  const used = inUse === undefined ? undefined : usedImages(context)
  const earlier = timeOf(context, before)
  const later = timeOf(context, since)
  return images.filter(
    (image) =>
      (patterns === undefined || image.names.some((name) => patterns.some((pattern) => matchesName(pattern, name)))) &&
      (labels === undefined || Object.entries(labels).every(([key, value]) => hasLabel(image.labels, key, value))) &&
      (dangling === undefined || dangling === (image.names.length === 0)) &&
      (used === undefined || used.has(placeOf(image)) === inUse) &&
      (earlier === undefined || builtAt(image) < earlier) &&
      (later === undefined || builtAt(image) > later),
  )
}

/** The images that containers were made from: those of the own store by id, others with the store. */
export function usedImages(context: Context): ReadonlySet<string> {
  return new Set(
    listContainers(context.db).flatMap(({ imageId, imageStore, foreignImageId }) =>
      foreignImageId === null ? (imageId ?? []) : placeOf({ id: foreignImageId, store: imageStore ?? undefined }),
    ),
  )
}

/** One image can be in several stores. */
function placeOf({ id, store }: Pick<ImageSummary, 'id' | 'store'>): string {
  return store === undefined ? id : `${store} ${id}`
}

function timeOf(context: Context, moment: string | Date | undefined): number | undefined {
  if (moment === undefined) return undefined
  if (typeof moment !== 'string') return moment.getTime()
  const { row } = findImage(context, moment, context.platform)
  return row.createdAt ?? row.storedAt
}

function builtAt({ createdAt, storedAt }: ImageSummary): number {
  return (createdAt ?? storedAt).getTime()
}

function hasLabel(labels: Readonly<Record<string, string>>, key: string, value: string | true): boolean {
  return Object.hasOwn(labels, key) && (value === true || labels[key] === value)
}

/** A glob as an expression for the whole of a name. */
function referencePattern(glob: string): RegExp {
  const source = glob.replace(/\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**') return '.*'
    if (part === '*') return '[^/]*'
    return part === '?' ? '[^/]' : part.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${source}$`)
}

/** A pattern may fit the full name, the name without its tag, and either from any slash on. */
function matchesName(pattern: RegExp, name: string): boolean {
  const colon = name.lastIndexOf(':')
  const untagged = colon > name.lastIndexOf('/') ? name.slice(0, colon) : name
  for (const full of [name, untagged]) {
    for (let start = 0; ; start = full.indexOf('/', start) + 1) {
      if (pattern.test(full.slice(start))) return true
      if (full.indexOf('/', start) < 0) break
    }
  }
  return false
}
