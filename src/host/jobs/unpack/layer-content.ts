import type { Readable } from 'node:stream'
import { decompressedChunks, detectCompression, SNIFF_BYTES } from '../../../archive/compression.ts'
import { releaseChunk } from '../../../archive/release-chunk.ts'
import { ContentMeter } from '../../../archive/verified-stream.ts'
import type { Digest } from '../../../spec/digest.ts'
import { closeSource, openSource, type SourceRange } from './source.ts'
import { wrongOrDamaged } from './wrong-or-damaged.ts'

/** Where the blob of a layer is, and what it must turn out to be. */
export interface LayerContentInput {
  /** A file, or a FIFO that another process writes the blob into. */
  readonly source: { readonly path: string; readonly range?: SourceRange | undefined }
  /** What the manifest says of the blob; undefined where there is no manifest (`import`). */
  readonly blob: { readonly digest: Digest; readonly size: number | undefined } | undefined
  /** What the image config says of the uncompressed tar. */
  readonly diffId: Digest | undefined
}

export interface ProvenContent {
  readonly blobDigest: Digest
  readonly blobSize: number
  readonly diffId: Digest
}

/** A layer's tar on its way out of its blob: read once, hashed, decompressed, hashed. */
export interface LayerContent {
  /** Of the blob, so far. */
  readonly bytes: number
  /** The tar, once. A chunk is good until the next one is asked for. @throws ERR_COMPRESSION_*, ERR_SIZE_MISMATCH, ERR_DIGEST_MISMATCH */
  chunks(): AsyncGenerator<Buffer>
  /** To be called after the last chunk. @throws ERR_DIGEST_MISMATCH when the tar is not what it should be */
  prove(): Promise<ProvenContent>
  /** Why content that turned out to be useless is so: other bytes than were promised, or `damage` itself. Reads what is left. */
  blame(damage: unknown): Promise<unknown>
  close(): Promise<void>
}

/** Reads a layer's content in this thread. */
export function openLayerContent({ source: place, blob: expected, diffId }: LayerContentInput, signal: AbortSignal): LayerContent {
  const blob = new ContentMeter({ digest: expected?.digest, size: expected?.size, what: 'layer blob' })
  const tar = new ContentMeter({ digest: diffId, size: undefined, what: 'uncompressed layer' })
  const source = openSource(place, signal)
  const hashed = hashedBlob(source, blob)
  let isPlain = false
  async function* chunks(): AsyncGenerator<Buffer> {
    const head = await firstBytes(hashed)
    isPlain = detectCompression(head) === 'none'
    const content = startingWith(head, hashed)
    for await (const chunk of isPlain ? content : decompressedChunks(content, signal)) {
      tar.update(chunk)
      yield chunk
      releaseChunk(chunk)
    }
  }
  return {
    get bytes() {
      return blob.size
    },
    chunks,
    prove: async () => ({ blobDigest: blob.finish(), blobSize: blob.size, diffId: tar.finish() }),
    async blame(damage) {
      await hashed.return(undefined)
      return wrongOrDamaged(damage, { source, meter: expected ? blob : isPlain && diffId ? tar : undefined })
    },
    close: () => closeSource(source),
  }
}

async function* hashedBlob(source: Readable, meter: ContentMeter): AsyncGenerator<Buffer> {
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    meter.update(chunk)
    yield chunk
    releaseChunk(chunk)
  }
  // Here, so that a short or wrong blob is called that and not a damaged compression.
  meter.finish()
}

async function* startingWith(head: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* rest
}

async function firstBytes(blob: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < SNIFF_BYTES) {
    const next = await blob.next()
    if (next.done) break
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value])
  }
  return head
}
