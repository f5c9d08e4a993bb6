/**
 * Gives the memory of a chunk back at once, if the chunk reaches to the end of its buffer: what streams
 * of node:zlib, files and sockets give out has no other user then. Left to the garbage collector, chunks
 * of 1 MiB pile up to more than 60 MB before it looks. The chunk and all views of it are empty afterwards.
 */
export function releaseChunk(chunk: Buffer): void {
  const buffer = chunk.buffer as ArrayBuffer & { transfer?(length: number): ArrayBuffer }
  if (chunk.length === 0 || chunk.byteOffset + chunk.length !== buffer.byteLength || buffer.byteLength <= Buffer.poolSize) return
  buffer.transfer?.(0)
}
