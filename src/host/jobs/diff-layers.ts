import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from 'node:fs'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { errorCode } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'
import { lgetxattr, llistxattr } from '../sys/libc.ts'

export interface DiffLayersInput {
  /** Trees of layers as overlay has them, top first. */
  readonly from: readonly string[]
  readonly to: readonly string[]
  /** Where overlay keeps its own attributes. */
  readonly xattrPrefix: 'trusted' | 'user'
}

export interface LayerChange {
  /** From `/` on. */
  readonly path: string
  readonly kind: 'added' | 'changed' | 'deleted'
}

/** A name in a merged view: what it is, and, for a directory, where all of it lies. */
interface Entry {
  readonly stats: Stats
  /** Of the uppermost layer that has it. */
  readonly path: Buffer
  /** A directory of each layer that contributes to it, top first. Empty for anything else. */
  readonly parts: readonly Buffer[]
}

/** A directory that is still to be compared; `from` is absent below one that was added. */
interface Pair {
  readonly name: Buffer
  readonly from: readonly Buffer[]
  readonly to: readonly Buffer[]
}

const CHUNK_BYTES = 64 * 1024
const SLASH = Buffer.from('/')

/**
 * Compares two stacks of layers as the merged views that they are, without mounting any. What both take from the same
 * layers is passed over, so that a layer is compared with its parents at the price of what it changes.
 *
 * A directory is changed when names in it came or went, or its owner, mode or attributes did; of one that was deleted only
 * itself is told. Times of directories do not count: unpacking makes them.
 */
export async function diffLayers(input: DiffLayersInput, { signal }: Pick<JobContext, 'signal'>): Promise<LayerChange[]> {
  const { xattrPrefix } = input
  const roots = (paths: readonly string[]) => paths.map((path) => Buffer.from(path))
  const changes: LayerChange[] = []
  const pending: Pair[] = [{ name: Buffer.alloc(0), from: roots(input.from), to: roots(input.to) }]
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    // A worker hears of an abort only between two turns of its loop.
    await yieldToOthers()
    signal.throwIfAborted()
    const { name, from, to } = pair
    const [before, after] = [readView(from, xattrPrefix), readView(to, xattrPrefix)]
    const names = [...new Set([...before.keys(), ...after.keys()])].sort()
    for (const child of names) {
      const path = Buffer.concat([name, SLASH, Buffer.from(child, 'latin1')])
      const [old, now] = [before.get(child), after.get(child)]
      const kind = kindOf(old, now, xattrPrefix)
      if (kind) changes.push({ path: shown(path), kind })
      const parts = { from: old?.parts ?? [], to: now?.parts ?? [] }
      if (parts.to.length > 0 && !sameParts(parts.from, parts.to)) pending.push({ name: path, ...parts })
    }
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** The names of a directory that several layers make up together. Names are Latin-1: any bytes. */
function readView(parts: readonly Buffer[], xattrPrefix: string): Map<string, Entry> {
  const entries = new Map<string, { stats: Stats; path: Buffer; parts: Buffer[]; open: boolean } | undefined>()
  for (const part of parts) {
    for (const name of readdirSync(part, { encoding: 'buffer' })) {
      const key = name.toString('latin1')
      const above = entries.get(key)
      if (entries.has(key) && !above?.open) continue
      const path = Buffer.concat([part, SLASH, name])
      const stats = lstatSync(path)
      const isDirectory = stats.isDirectory()
      if (above && isDirectory) above.parts.push(path)
      if (above) above.open = isDirectory && !isOpaque(path, xattrPrefix)
      else if (isWhiteout(stats)) entries.set(key, undefined)
      else entries.set(key, { stats, path, parts: isDirectory ? [path] : [], open: isDirectory && !isOpaque(path, xattrPrefix) })
    }
  }
  return new Map([...entries].filter((entry): entry is [string, NonNullable<(typeof entry)[1]>] => entry[1] !== undefined))
}

function kindOf(old: Entry | undefined, now: Entry | undefined, xattrPrefix: string): LayerChange['kind'] | undefined {
  if (old === undefined) return 'added'
  if (now === undefined) return 'deleted'
  if (old.path.equals(now.path) && sameParts(old.parts, now.parts)) return undefined
  return sameAttributes(old, now) && sameContent(old, now, xattrPrefix) ? undefined : 'changed'
}

function sameParts(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((path, position) => path.equals(b[position] as Buffer))
}

function sameAttributes({ stats: a, path: aPath }: Entry, { stats: b, path: bPath }: Entry): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdev !== b.rdev) return false
  if (!a.isDirectory() && (a.size !== b.size || a.mtimeMs !== b.mtimeMs)) return false
  return xattrsOf(aPath) === xattrsOf(bPath)
}

function sameContent(a: Entry, b: Entry, xattrPrefix: string): boolean {
  const names = ({ parts }: Entry) => [...readView(parts, xattrPrefix).keys()].sort().join('/')
  if (a.stats.isDirectory()) return names(a) === names(b)
  if (a.stats.isSymbolicLink()) return readlinkSync(a.path, { encoding: 'buffer' }).equals(readlinkSync(b.path, { encoding: 'buffer' }))
  return !a.stats.isFile() || sameBytes(a.path, b.path)
}

function sameBytes(a: Buffer, b: Buffer): boolean {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW
  const [one, two] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)]
  const first = openSync(a, flags)
  try {
    const second = openSync(b, flags)
    try {
      for (;;) {
        const read = readSync(first, one)
        if (read !== readSync(second, two) || one.compare(two, 0, read, 0, read) !== 0) return false
        if (read === 0) return true
      }
    } finally {
      closeSync(second)
    }
  } finally {
    closeSync(first)
  }
}

/** Everything but what overlay has put there, as text to compare. */
function xattrsOf(path: Buffer): string {
  const names = llistxattr(path).filter((name) => !/^(trusted|user)\.overlay\./.test(name))
  return JSON.stringify(names.sort().map((name) => [name, lgetxattr(path, name)?.toString('latin1')]))
}

function isWhiteout(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0
}

function isOpaque(path: Buffer, xattrPrefix: string): boolean {
  try {
    return lgetxattr(path, `${xattrPrefix}.overlay.opaque`)?.toString('latin1') === 'y'
  } catch (error) {
    if (errorCode(error) === 'ENOTSUP' || errorCode(error) === 'EOPNOTSUPP') return false
    throw error
  }
}

/** Names in a layer are bytes: those that are no text are told byte by byte, `\xff`. */
function shown(path: Buffer): string {
  const text = path.toString('utf8')
  if (!text.includes('\ufffd')) return text
  return path.toString('latin1').replace(/[^ -~]|\\/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
