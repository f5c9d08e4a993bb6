/** Node's small buffers are parts of one of this size, unless the program chose another. */
const POOL_BYTES = 64 * 1024

/**
 * Gives the memory of a chunk back at once, if the chunk reaches to the end of its buffer: what streams
 * of node:zlib, files and sockets give out has no other user then. Left to the garbage collector, chunks
 * of 1 MiB pile up to more than 60 MB before it looks. The chunk and all views of it are empty afterwards.
 */
export function releaseChunk(chunk: Buffer): void {
  const buffer = chunk.buffer as ArrayBuffer & { transfer?(length: number): ArrayBuffer }
  if (chunk.length === 0 || chunk.byteOffset + chunk.length !== buffer.byteLength || isPooled(chunk)) return
  buffer.transfer?.(0)
}

/** Whether the memory may be shared with buffers that somebody else uses. */
export function isPooled({ byteOffset, length, buffer }: Buffer): boolean {
  const isWhole = byteOffset === 0 && length === buffer.byteLength
  return !isWhole && buffer.byteLength <= Math.max(Buffer.poolSize, POOL_BYTES)
}
