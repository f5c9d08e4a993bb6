import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../lifecycle/context.ts'

/** A path for a FIFO between this process and a worker. */
export function ioPath(context: Context, purpose: string): string {
  mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
  return join(context.paths.io, `${purpose}-${randomBytes(8).toString('hex')}`)
}
