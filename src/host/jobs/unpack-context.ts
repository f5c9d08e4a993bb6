import { mkdirSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Headers } from 'tar-fs'
import { decompressedChunks } from '../../archive/compression.ts'
import { errorCode, errorMessage, isPodlibError, PodlibError, systemErrorCode } from '../../errors/errors.ts'
import type { JobContext } from '../job.ts'
import { removeTree } from './remove-tree.ts'
import { closeSource, openSource } from './unpack/source.ts'

export interface UnpackContextInput {
  /** A file, or a FIFO that another process writes the tar into, plain or compressed. */
  readonly source: string
  /** Made by the job with mode 0700; must not exist. Removed when the job fails. */
  readonly directory: string
  readonly limits?: ContextLimits
}

interface ContextLimits {
  /** Of the uncompressed tar. */
  readonly maxBytes: number
  readonly maxEntries: number
}

const DEFAULT_LIMITS: ContextLimits = { maxBytes: 64 * 1024 ** 3, maxEntries: 1_000_000 }

/**
 * Unpacks files that somebody wants to build from: no layer, so that names mean nothing special, and owners are those of whoever
 * unpacks. What leads out of the directory, by name or by link, is refused, as is anything but files, directories and links.
 *
 * @throws ERR_ARCHIVE_INVALID, ERR_ARCHIVE_TOO_LARGE, ERR_COMPRESSION_*, ERR_NO_SPACE
 */
export async function unpackContext(input: UnpackContextInput, { signal }: Pick<JobContext, 'signal'>): Promise<void> {
  const { source: path, directory, limits = DEFAULT_LIMITS } = input
  mkdirSync(directory, { mode: 0o700 })
  const source = openSource({ path }, signal)
  try {
    const tar = limited(decompressedChunks(source as AsyncIterable<Buffer>, signal), limits)
    await pipeline(tar, await extraction(directory, limits), { signal })
  } catch (error) {
    removeTree({ paths: [directory] })
    signal.throwIfAborted()
    throw contextError(error, directory)
  } finally {
    await closeSource(source)
  }
}

async function extraction(directory: string, { maxEntries }: ContextLimits): Promise<NodeJS.WritableStream> {
  const { extract } = await import('tar-fs')
  let entries = 0
  const objection = ({ name }: Headers) => {
    if (++entries > maxEntries) return tooLarge(`more than ${maxEntries} entries`)
    return name.split('/').includes('..') ? invalid(`${JSON.stringify(name)} leads out of it`) : undefined
  }
  const options = {
    // As whoever unpacks them: to an image they go as root's in any case.
    chown: false,
    // Else it asks for that of the process, which is to change it for a moment.
    umask: 0,
    ignore(_path: string, header?: Headers) {
      const error = header && objection(header)
      if (error) unpacking.destroy(error)
      return error !== undefined
    },
  }
  const unpacking = extract(directory, options)
  // An entry fails with the whole, and would tell nobody: an error without a listener ends the process.
  unpacking.on('entry', (_header, content) => content.on('error', () => {}))
  return unpacking
}

/** Files take no more than the tar that they are in. */
async function* limited(tar: AsyncIterable<Buffer>, { maxBytes }: ContextLimits): AsyncGenerator<Buffer> {
  let size = 0
  for await (const chunk of tar) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge(`more than ${maxBytes} bytes`)
    yield chunk
  }
}

function contextError(error: unknown, directory: string): unknown {
  if (isPodlibError(error)) return error
  const code = errorCode(error)
  const text = errorMessage(error).replaceAll(`${directory}/`, '')
  if (code === undefined || systemErrorCode(code) === 'ERR_INTERNAL') return invalid(text, error)
  return new PodlibError(systemErrorCode(code), `cannot unpack the build context: ${text}`, { details: { systemCode: code }, cause: error })
}

function invalid(why: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_ARCHIVE_INVALID', `cannot unpack the build context: ${why}`, { cause })
}

function tooLarge(why: string): PodlibError {
  return new PodlibError('ERR_ARCHIVE_TOO_LARGE', `cannot unpack the build context: it has ${why}`)
}
