import type { Readable } from 'node:stream'
import { releaseChunk } from '../../../archive/release-chunk.ts'
import type { ContentMeter } from '../../../archive/verified-stream.ts'
import { isPodlibError, PodlibError } from '../../../errors/errors.ts'

export interface FailedContent {
  /** What is left of it is read. */
  readonly source: Readable
  /** Has counted all that was read of the source before; undefined where nobody said what the source should be. */
  readonly meter: ContentMeter | undefined
}

/**
 * Whoever sent other bytes than were promised has mostly sent bytes that are no layer either. Which of the two it was is
 * known only when all bytes have come, so they are read; a source that has a promised size ends soon after it.
 *
 * @param damage - why the content cannot be unpacked
 * @returns the mismatch of digest or size, caused by `damage`; or `damage` itself if these are the promised bytes
 */
export async function wrongOrDamaged(damage: unknown, { source, meter }: FailedContent): Promise<unknown> {
  if (meter === undefined || !isDamage(damage)) return damage
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      meter.update(chunk)
      releaseChunk(chunk)
    }
    meter.finish()
  } catch (error) {
    const isWrong = isPodlibError(error, 'ERR_DIGEST_MISMATCH') || isPodlibError(error, 'ERR_SIZE_MISMATCH')
    return isWrong ? new PodlibError(error.code, error.message, { details: error.details, cause: damage }) : damage
  }
  return damage
}

/** A limit that was exceeded or a compression that is not known says nothing about damage, and is no reason to read on. */
export function isDamage(error: unknown): boolean {
  return isPodlibError(error, 'ERR_LAYER_INVALID') || isPodlibError(error, 'ERR_COMPRESSION_INVALID')
}
