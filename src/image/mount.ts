import { PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { endImageMount, type ImageMountRecord, imageMountRecords, newMountRecord, writeMountRecord } from '../lifecycle/image-mounts.ts'
import { assertWhole } from '../lifecycle/lost-layers.ts'
import { listImageNames } from '../state/image-name-table.ts'
import { crashPoint } from '../util/crash-point.ts'
import { imageStack } from './stack.ts'

/**
 * An image's tree, to be read at a path of the host until it is unmounted or its runtime is closed. `await using` unmounts it.
 *
 * The content is the image's, so nobody's that you trust: its symbolic links lead anywhere, also out of the tree, and are for
 * you to resolve. Without root the path leads through a process of the runtime's user namespace, and files that the image
 * gives to other users than root, and lets nobody else read, cannot be read there.
 *
 * @public
 */
export class ImageMount implements AsyncDisposable {
  readonly imageId: string
  /** Read-only. Every mount has a path of its own. */
  readonly path: string
  readonly #unmount: () => Promise<void>

  /** @internal */
  constructor({ imageId, path }: ImageMountInfo, unmount: () => Promise<void>) {
    this.imageId = imageId
    this.path = path
    this.#unmount = unmount
  }

  /** Ends the mount; what is still open in it stays readable until it is closed. Idempotent. */
  unmount(): Promise<void> {
    return this.#unmount()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount()
  }
}

/** A mounted image. @public */
export interface ImageMountInfo {
  readonly imageId: string
  readonly path: string
  /** The process that mounted it. */
  readonly ownerPid: number
}

/** Mounts an image until the handle is told to unmount, or the runtime is closed. @throws ERR_IMAGE_NOT_FOUND, ERR_MOUNT_FAILED */
export async function mountImage(context: Context, id: string): Promise<ImageMount> {
  context.closing.throwIfAborted()
  const [storage, host] = await Promise.all([context.storage(), context.host()])
  const record = newMountRecord(context, id)
  const mounting = async () => {
    const layers = await context.db.transaction(() => {
      assertWhole(context, id)
      const stack = imageStack(context, id)
      writeMountRecord(context, record)
      announce(context, 'mount', id)
      return stack
    })
    crashPoint('mount image: recorded')
    const { path } = await storage.mount({ containerId: record.name, layers, volatile: false, readOnly: true })
    crashPoint('mount image: mounted')
    context.closing.throwIfAborted()
    return host.visible(path)
  }
  try {
    // A runtime that is closed meanwhile is closed when nothing of it is left.
    const work = mounting()
    context.background.add(work)
    return new ImageMount({ imageId: id, path: await work, ownerPid: record.owner.pid }, endsWithRuntime(context, record))
  } catch (error) {
    await endImageMount(context, record).catch(() => {})
    throw error
  }
}

/** What ends a mount, once; if nobody does, the runtime does when it is closed. */
function endsWithRuntime(context: Context, record: ImageMountRecord): () => Promise<void> {
  const { promise: gone, resolve: forget } = Promise.withResolvers<void>()
  let ending: Promise<void> | undefined
  const unmount = () => {
    context.closing.removeEventListener('abort', atClose)
    ending ??= unmountRecord(context, record).finally(forget)
    return ending
  }
  const atClose = () => void unmount().catch(() => {})
  context.background.add(gone)
  context.closing.addEventListener('abort', atClose, { once: true })
  return unmount
}

/** What is mounted from this store, by this program and others. */
export async function listImageMounts(context: Context): Promise<ImageMountInfo[]> {
  const records = imageMountRecords(context)
  if (records.length === 0) return []
  const [storage, host] = await Promise.all([context.storage(), context.host()])
  return records.map(({ name, imageId, owner }) => ({ imageId, path: host.visible(storage.rootfs(name).path), ownerPid: owner.pid }))
}

/** Unmounts an image wherever it is mounted, also by other programs. */
export async function unmountImage(context: Context, id: string): Promise<void> {
  for (const record of imageMountRecords(context, id)) await unmountRecord(context, record)
}

/** Call it in the transaction that removes the image. @throws ERR_IMAGE_IN_USE */
export function assertNotMounted(context: Context, id: string): void {
  const [record, ...more] = imageMountRecords(context, id)
  if (record === undefined) return
  const others = more.length > 0 ? ` and ${more.length} times more` : ''
  const text = `image ${id.slice(0, 12)} is mounted as ${record.name} by process ${record.owner.pid}${others}: unmount it first, or use force`
  throw new PodlibError('ERR_IMAGE_IN_USE', text, { details: { id, mounts: [record, ...more].map(({ name }) => name) } })
}

async function unmountRecord(context: Context, record: ImageMountRecord): Promise<void> {
  if (!(await endImageMount(context, record))) return
  await context.db.transaction(() => announce(context, 'unmount', record.imageId))
}

function announce({ db, events }: Context, action: 'mount' | 'unmount', id: string): void {
  const reference = listImageNames(db, id)[0]?.name
  events.record({ type: 'image', action, id, name: reference ?? id, attributes: reference === undefined ? {} : { reference } })
}
