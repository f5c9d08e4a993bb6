import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isSameProcess } from '../host/proc.ts'
import type { Context } from './context.ts'

/**
 * The record of a mounted image: the name of an empty directory, `<pid>-<start time>-<image id>-<random>`. It is made in the
 * transaction that sees that the image is there, and looked for in the one that removes an image, so that neither can get
 * past the other.
 */
export interface ImageMountRecord {
  readonly name: string
  readonly imageId: string
  readonly owner: { readonly pid: number; readonly startTime: number }
}

const NAME = /^(\d+)-(\d+)-([0-9a-f]{64})-[0-9a-f]{16}$/

/** One of this process, not written yet. */
export function newMountRecord({ owner }: Pick<Context, 'owner'>, imageId: string): ImageMountRecord {
  return { name: `${owner.pid}-${owner.startTime}-${imageId}-${randomBytes(8).toString('hex')}`, imageId, owner }
}

/** Call it in the transaction that finds the image in the store. */
export function writeMountRecord({ paths }: Pick<Context, 'paths'>, { name }: ImageMountRecord): void {
  mkdirSync(join(paths.imageMounts, name), { recursive: true, mode: 0o700 })
}

/** Those of one image, or all. */
export function imageMountRecords({ paths }: Pick<Context, 'paths'>, imageId?: string): ImageMountRecord[] {
  if (!existsSync(paths.imageMounts)) return []
  return readdirSync(paths.imageMounts).flatMap((name) => {
    const [, pid, startTime, id] = NAME.exec(name) ?? []
    if (id === undefined || (imageId !== undefined && imageId !== id)) return []
    return [{ name, imageId: id, owner: { pid: Number(pid), startTime: Number(startTime) } }]
  })
}

/** Unmounts, then forgets; may be repeated. @returns whether it was there */
export async function endImageMount(context: Context, { name }: Pick<ImageMountRecord, 'name'>): Promise<boolean> {
  const record = join(context.paths.imageMounts, name)
  if (!existsSync(record)) return false
  await (await context.storage()).unmount(name, { remove: true })
  rmSync(record, { recursive: true, force: true })
  return true
}

/** Ends mounts of programs that died with them. */
export async function endAbandonedMounts(context: Context): Promise<void> {
  const abandoned = imageMountRecords(context).filter(({ owner }) => !isSameProcess(owner.pid, owner.startTime))
  await Promise.all(abandoned.map((record) => endImageMount(context, record)))
}
