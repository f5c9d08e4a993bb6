import { closeSync, constants, createReadStream, openSync, writeSync } from 'node:fs'
import { constants as zlibConstants, zstdCompressSync } from 'node:zlib'
import { PodlibError } from '../errors/errors.ts'
import { type Digest, parseDigest } from '../spec/digest.ts'
import { decompressedChunks } from './compression.ts'
import type { SparseSegment } from './tar-entry.ts'

/**
 * The side file of an unpacked layer: all that is needed to write the layer's tar again, byte for byte,
 * from the unpacked tree. It is what tar-split is to other stores, but binary and in zstd frames.
 *
 * Decompressed, it is: `PLRA`, a version byte (1), then records; integers are little endian.
 * ```
 * 1 RAW      u32 length, bytes                          bytes of the tar as they are
 * 2 PAYLOAD  u16 length, path; u64 size; u32 count, count x (u64 offset, u64 length)
 *                                                       content of a file of the tree; its segments if sparse
 * 0 END      u64 size of the tar, u8 length, diff ID    nothing follows
 * ```
 * PAYLOAD records are numbered from 0. The content of number n is in `replaced/n` beside the tree if that
 * exists (a later entry of the layer took the name), else in the tree under the path. Content that became
 * no file (of a whiteout, of AUFS bookkeeping) is RAW. Paths are relative, without a leading slash.
 */
const MAGIC = Buffer.from('PLRA\u0001', 'latin1')
const RAW = 1
const PAYLOAD = 2
const END = 0
/** Size of what is compressed into one frame. Larger frames gain little and cost memory. */
const FRAME_BYTES = 256 * 1024
/** Headers of tars become no smaller by a higher level. */
const COMPRESSION = { params: { [zlibConstants.ZSTD_c_compressionLevel]: 1 } }
const MAX_RECORD_BYTES = 64 * 1024 * 1024

/** Content that is in a file of the unpacked layer. */
export interface PayloadReference {
  readonly path: Buffer
  /** Bytes in the tar. */
  readonly size: number
  readonly sparse: readonly SparseSegment[] | undefined
}

export type ReassemblyRecord =
  | { readonly kind: 'raw'; readonly bytes: Buffer }
  | ({ readonly kind: 'payload'; readonly number: number } & PayloadReference)
  | { readonly kind: 'end'; readonly size: number; readonly diffId: Digest }

/** Writes the side file, synchronously, in step with the unpacking. */
export class ReassemblyWriter {
  readonly #fd: number
  readonly #frame = Buffer.allocUnsafeSlow(FRAME_BYTES)
  #filled = 0
  /** Where in the frame the length of the RAW record is that can still grow. */
  #growing: number | undefined
  #payloads = 0
  /** Bytes on disk. */
  size = 0

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    this.#append(MAGIC)
  }

  raw(bytes: Buffer): void {
    for (let start = 0; start < bytes.length; ) {
      if (this.#growing === undefined || this.#filled === FRAME_BYTES) this.#beginRaw()
      const at = this.#growing as number
      const used = bytes.copy(this.#frame, this.#filled, start)
      this.#filled += used
      start += used
      this.#frame.writeUInt32LE(this.#filled - at - 4, at)
    }
  }

  /** Notes that content of the tree comes next and returns the record's number. */
  payload({ path, size, sparse }: PayloadReference): number {
    const record = Buffer.allocUnsafe(15 + path.length + 16 * (sparse?.length ?? 0))
    record.writeUInt8(PAYLOAD)
    record.writeUInt16LE(path.length, 1)
    path.copy(record, 3)
    writeUInt64(record, size, 3 + path.length)
    record.writeUInt32LE(sparse?.length ?? 0, 11 + path.length)
    let at = 15 + path.length
    for (const { offset, length } of sparse ?? []) {
      writeUInt64(record, offset, at)
      writeUInt64(record, length, at + 8)
      at += 16
    }
    this.#append(record)
    return this.#payloads++
  }

  finish(size: number, diffId: Digest): void {
    const record = Buffer.alloc(10 + diffId.length)
    record.writeUInt8(END)
    writeUInt64(record, size, 1)
    record.writeUInt8(diffId.length, 9)
    record.write(diffId, 10)
    this.#append(record)
    this.#flush()
  }

  close(): void {
    closeSync(this.#fd)
  }

  #beginRaw(): void {
    if (this.#filled + 5 >= FRAME_BYTES) this.#flush()
    this.#frame.writeUInt8(RAW, this.#filled)
    this.#growing = this.#filled + 1
    this.#filled += 5
  }

  #append(record: Buffer): void {
    this.#growing = undefined
    for (let start = 0; start < record.length; ) {
      if (this.#filled === FRAME_BYTES) this.#flush()
      const used = record.copy(this.#frame, this.#filled, start)
      this.#filled += used
      start += used
    }
  }

  #flush(): void {
    const compressed = zstdCompressSync(this.#frame.subarray(0, this.#filled), COMPRESSION)
    for (let start = 0; start < compressed.length; ) start += writeSync(this.#fd, compressed, start)
    this.size += compressed.length
    this.#filled = 0
    this.#growing = undefined
  }
}

/** A size or offset, which is never beyond exact integers. */
function writeUInt64(record: Buffer, value: number, at: number): void {
  record.writeUInt32LE(value % 2 ** 32, at)
  record.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** Reads a side file record by record. @throws ERR_STORE_CORRUPT when it is damaged */
export async function* readReassembly(path: string, signal?: AbortSignal): AsyncGenerator<ReassemblyRecord> {
  const state: ReadState = { pending: Buffer.alloc(0), number: 0, started: false }
  for await (const chunk of decompressedChunks(createReadStream(path), signal)) {
    state.pending = state.pending.length === 0 ? chunk : Buffer.concat([state.pending, chunk])
    yield* takeRecords(state, path)
  }
  if (state.pending.length > 0 || !state.started) throw corrupt(path, 'it is cut off')
}

interface ReadState {
  pending: Buffer
  number: number
  started: boolean
}

function* takeRecords(state: ReadState, path: string): Generator<ReassemblyRecord> {
  if (!state.started) {
    if (state.pending.length < MAGIC.length) return
    if (!state.pending.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(path, 'unknown format or version')
    state.pending = state.pending.subarray(MAGIC.length)
    state.started = true
  }
  for (;;) {
    const length = recordLength(state.pending)
    if (length > MAX_RECORD_BYTES) throw corrupt(path, 'a record is too large')
    if (length > state.pending.length) return
    yield decodeRecord(state.pending.subarray(0, length), state.number, path)
    if (state.pending[0] === PAYLOAD) state.number++
    state.pending = state.pending.subarray(length)
  }
}

/** Length of the record at the start, or more than there is when that cannot be told yet. */
function recordLength(bytes: Buffer): number {
  const more = bytes.length + 1
  if (bytes[0] === RAW) return bytes.length < 5 ? more : 5 + bytes.readUInt32LE(1)
  if (bytes[0] === END) return bytes.length < 10 ? more : 10 + bytes.readUInt8(9)
  if (bytes.length < 3) return more
  const path = bytes.readUInt16LE(1)
  return bytes.length < 15 + path ? more : 15 + path + 16 * bytes.readUInt32LE(11 + path)
}

function decodeRecord(bytes: Buffer, number: number, path: string): ReassemblyRecord {
  if (bytes[0] === RAW) return { kind: 'raw', bytes: bytes.subarray(5) }
  if (bytes[0] === END) return { kind: 'end', size: Number(bytes.readBigUInt64LE(1)), diffId: parseDigest(bytes.toString('latin1', 10)) }
  if (bytes[0] !== PAYLOAD) throw corrupt(path, 'unknown record')
  const length = bytes.readUInt16LE(1)
  const count = bytes.readUInt32LE(11 + length)
  const sparse = Array.from({ length: count }, (_, index) => {
    const at = 15 + length + 16 * index
    return { offset: Number(bytes.readBigUInt64LE(at)), length: Number(bytes.readBigUInt64LE(at + 8)) }
  })
  const size = Number(bytes.readBigUInt64LE(3 + length))
  return { kind: 'payload', number, path: bytes.subarray(3, 3 + length), size, sparse: count === 0 ? undefined : sparse }
}

function corrupt(path: string, what: string): PodlibError {
  return new PodlibError('ERR_STORE_CORRUPT', `cannot re-assemble the layer from ${path}: ${what}`, { details: { path } })
}
