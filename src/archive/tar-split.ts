import { createReadStream } from 'node:fs'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { decompressedChunks } from './compression.ts'

/** A part of a tar: bytes as they are, or the content of a file of the unpacked tree. */
export type TarSplitPart =
  | { readonly kind: 'raw'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly name: Buffer; readonly size: number }

const FILE = 1
const SEGMENT = 2
/** A PAX header may be as long as the reader of the layer allows; beyond this it is no record of a tar. */
const MAX_LINE_BYTES = 64 * 1024 * 1024
const LINE_END = 0x0a

/**
 * Reads the record that containers/storage and Docker keep of a layer's tar: lines of JSON, compressed.
 *
 * @see https://github.com/vbatts/tar-split/blob/v0.11.5/tar/storage/entry.go
 * @throws ERR_STORE_CORRUPT, ERR_STORE_UNSUPPORTED when the layer has no record
 */
export async function* readTarSplit(path: string, signal?: AbortSignal): AsyncGenerator<TarSplitPart> {
  let pending: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of decompressedChunks(createReadStream(path), signal)) {
      let start = 0
      for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, start)) {
        const line = pending.length === 0 ? chunk.subarray(start, end) : Buffer.concat([...pending, chunk.subarray(start, end)])
        pending = []
        length = 0
        start = end + 1
        const part = parseLine(line, path)
        if (part) yield part
      }
      if (start === chunk.length) continue
      pending.push(chunk.subarray(start))
      length += chunk.length - start
      if (length > MAX_LINE_BYTES) throw corrupt(path, 'a line is too long')
    }
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    const text = `the layer has no record of its tar at ${path}: save the image with the program that pulled it`
    throw new PodlibError('ERR_STORE_UNSUPPORTED', text, { details: { path }, cause: error })
  }
  if (length > 0) throw corrupt(path, 'it is cut off')
}

/** Undefined for an entry without content. */
function parseLine(line: Buffer, path: string): TarSplitPart | undefined {
  if (line.length === 0) return undefined
  let entry: { type?: unknown; name?: unknown; name_raw?: unknown; size?: unknown; payload?: unknown }
  try {
    entry = JSON.parse(line.toString('utf8')) as typeof entry
  } catch (error) {
    throw corrupt(path, 'a line is no JSON', error)
  }
  const { type, name, name_raw: rawName, size = 0, payload } = entry ?? {}
  if (type === SEGMENT && typeof payload === 'string') return { kind: 'raw', bytes: Buffer.from(payload, 'base64') }
  if (type !== FILE || !Number.isSafeInteger(size) || (size as number) < 0) throw corrupt(path, 'a line is no entry')
  if (size === 0) return undefined
  if (typeof rawName === 'string') return { kind: 'file', name: Buffer.from(rawName, 'base64'), size: size as number }
  if (typeof name === 'string') return { kind: 'file', name: Buffer.from(name), size: size as number }
  throw corrupt(path, 'an entry has no name')
}

function corrupt(path: string, what: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_STORE_CORRUPT', `cannot use the record of a tar ${path}: ${what}`, { details: { path }, cause })
}
