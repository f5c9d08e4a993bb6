import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { PodlibError } from '../../errors/errors.ts'
import type { Descriptor } from '../../spec/descriptor.ts'
import { type Digest, digestAlgorithm, digestMismatch } from '../../spec/digest.ts'
import type { BlobOutcome, BlobToPut, ImageDestination } from '../../transport/image-destination.ts'
import type { BlobContent, FileRange, ManifestSource } from '../../transport/image-source.ts'
import { runBounded } from '../../util/run-bounded.ts'
import type { BlobCounts, CopyProgress } from './options.ts'

export interface CopyBlobs extends Omit<CopyBlob, 'onProgress'> {
  readonly report: (progress: CopyProgress) => void
}

export interface CopyBlob {
  readonly source: Pick<ManifestSource, 'names' | 'blob'>
  readonly destination: ImageDestination
  /** Repositories of the destination's registry that have the blobs. */
  readonly mountFrom: readonly string[]
  readonly onProgress: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Copies blobs as they are, several at a time, each proven while it goes through. What the destination has is not read. */
export async function copyBlobs(blobs: readonly Descriptor[], { report, ...copy }: CopyBlobs): Promise<BlobCounts> {
  const distinct = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
  const outcomes: BlobOutcome[] = []
  const { parallel } = copy.destination
  // An archive gets them in the order of the manifest; elsewhere the largest begins first, so that none is waited for alone.
  const ordered = parallel === 1 ? distinct : distinct.sort((a, b) => b.size - a.size)
  await runBounded(
    ordered,
    parallel,
    async (blob, signal) => {
      const progress = (phase: BlobOutcome | 'copy', bytes: number) => report({ phase, blob: blob.digest, bytes, totalBytes: blob.size })
      const outcome = await copyBlob(blob, { ...copy, onProgress: (bytes) => progress('copy', bytes), signal })
      progress(outcome, blob.size)
      outcomes.push(outcome)
    },
    copy.signal,
  )
  return countBlobs(outcomes)
}

export function countBlobs(outcomes: readonly BlobOutcome[]): BlobCounts {
  const count = (outcome: BlobOutcome) => outcomes.filter((one) => one === outcome).length
  return { uploaded: count('uploaded'), mounted: count('mounted'), present: count('present') }
}

/** Copies one blob. Wrong bytes are fetched from the next place that may have the right ones, where there is one. */
export async function copyBlob(blob: Descriptor, { source, destination, mountFrom, onProgress, signal }: CopyBlob): Promise<BlobOutcome> {
  const { digest, size } = blob
  let content: BlobContent | undefined
  let wrong: unknown
  const useInstead = (instead: BlobContent) => {
    content = instead
  }
  const sayAll = (error: unknown) => {
    wrong = error
  }
  async function* open() {
    wrong = undefined
    content ??= await source.blob(blob, signal)
    const given = content
    content = undefined
    try {
      const what = `blob ${digest} of ${source.names[0] ?? 'the source'}`
      for await (const chunk of provenBytes(readContent(given), { digest, size, what })) {
        signal.throwIfAborted()
        yield chunk
      }
    } catch (error) {
      wrong = error
      if ('stream' in given && given.instead && !signal.aborted) await given.instead(error).then(useInstead, sayAll)
      throw wrong
    }
  }
  const put: BlobToPut = { digest, size, open, mountFrom }
  while (true) {
    try {
      return await destination.putBlob(put, { onProgress, signal })
    } catch (error) {
      signal.throwIfAborted()
      // What was wrong with the source says more than what the destination makes of it.
      if (content === undefined || destination.parallel === 1) throw wrong ?? error
    }
  }
}

interface ExpectedBytes {
  readonly digest: Digest
  readonly size: number | undefined
  readonly what: string
}

/** Passes bytes on, and fails at the end of wrong ones. @throws ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH */
export async function* provenBytes(bytes: AsyncIterable<Buffer>, { digest, size, what }: ExpectedBytes): AsyncGenerator<Buffer> {
  const hash = createHash(digestAlgorithm(digest))
  let count = 0
  for await (const chunk of bytes) {
    count += chunk.length
    if (size !== undefined && count > size) break
    hash.update(chunk)
    yield chunk
  }
  if (size !== undefined && count !== size) {
    const actual = count > size ? 'more' : String(count)
    throw new PodlibError('ERR_SIZE_MISMATCH', `${what} has ${actual} bytes, expected ${size}`, {
      details: { expected: size, actual, what },
    })
  }
  const actual = `${digestAlgorithm(digest)}:${hash.digest('hex')}`
  if (actual !== digest) throw digestMismatch(digest, actual, what)
}

/** The bytes of a blob, wherever they are. */
export function readContent(content: BlobContent): AsyncIterable<Buffer> {
  return 'stream' in content ? content.stream : readRange(content.file)
}

function readRange({ path, offset, size }: FileRange): AsyncIterable<Buffer> {
  if (size === 0) return createReadStream('/dev/null')
  return createReadStream(path, {
    start: offset,
    ...(size !== undefined && { end: offset + size - 1 }),
    highWaterMark: 1 << 20,
  })
}
