import { inflateRawSync, inflateSync } from 'node:zlib'
import { TRUST_LIMITS } from './limits.ts'
import { Rejection } from './rejection.ts'

/** Packet tags of OpenPGP. @see RFC 4880, 4.3 */
const TAG = { signature: 2, onePass: 4, compressed: 8, literal: 11 } as const
const COMPRESSION = { none: 0, zip: 1, zlib: 2 } as const

interface Packet {
  readonly tag: number
  readonly body: Buffer
  /** Where the next packet begins. */
  readonly end: number
}

/**
 * The packets of a signed message without the compression around them: exactly one signature over exactly one
 * document and not a byte more. gpg passes over what follows a compressed message, and takes shapes of messages
 * in which it is easy to lose sight of what was signed; so the shape is settled before gpg sees it.
 */
export function signedMessagePackets(message: Buffer): Buffer {
  const outer = readPacket(message, 0)
  const packets = outer.tag === TAG.compressed ? decompress(message, outer) : message
  const tags: number[] = []
  for (let offset = 0; offset < packets.length; ) {
    const packet = readPacket(packets, offset)
    tags.push(packet.tag)
    if (tags.length > 3) break
    offset = packet.end
  }
  const shape = tags.join()
  if (shape !== `${TAG.onePass},${TAG.literal},${TAG.signature}` && shape !== `${TAG.signature},${TAG.literal}`) {
    throw new Rejection('the message must be exactly one signature over one document')
  }
  return packets
}

function decompress(message: Buffer, { body, end }: Packet): Buffer {
  if (end !== message.length) throw new Rejection('something follows the compressed message')
  const [algorithm] = body
  const compressed = body.subarray(1)
  if (algorithm === COMPRESSION.none) return compressed
  if (algorithm !== COMPRESSION.zip && algorithm !== COMPRESSION.zlib)
    throw new Rejection('the message is compressed in an unsupported way')
  const { buffer, consumed } = inflate(algorithm === COMPRESSION.zip ? inflateRawSync : inflateSync, compressed)
  if (consumed !== compressed.length) throw new Rejection('something follows the compressed message')
  return buffer
}

function inflate(how: typeof inflateSync, compressed: Buffer): { buffer: Buffer; consumed: number } {
  try {
    // With `info` the result is not a buffer, which the types of Node do not know.
    const options = { maxOutputLength: TRUST_LIMITS.bytes, info: true }
    const { buffer, engine } = how(compressed, options) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    return { buffer, consumed: engine.bytesWritten }
  } catch {
    throw new Rejection('the message is damaged, or unpacks to too much')
  }
}

/** Reads one packet in the old or new format. @see RFC 4880, 4.2 */
function readPacket(bytes: Buffer, offset: number): Packet {
  const first = bytes[offset]
  if (first === undefined || !(first & 0x80)) throw cut()
  if (first & 0x40) return readNewBody(bytes, offset + 1, first & 0x3f)
  const tag = (first >> 2) & 0x0f
  const type = first & 0x03
  if (type === 3) return { tag, body: bytes.subarray(offset + 1), end: bytes.length }
  const octets = 2 ** type
  if (offset + 1 + octets > bytes.length) throw cut()
  return slice(bytes, { tag, start: offset + 1 + octets, length: bytes.readUIntBE(offset + 1, octets) })
}

function readNewBody(bytes: Buffer, offset: number, tag: number): Packet {
  const chunks: Buffer[] = []
  for (let at = offset; ; ) {
    const { length, header, partial } = newLength(bytes, at)
    const { body, end } = slice(bytes, { tag, start: at + header, length })
    chunks.push(body)
    if (!partial) return { tag, body: Buffer.concat(chunks), end }
    at = end
  }
}

function newLength(bytes: Buffer, at: number): { length: number; header: number; partial: boolean } {
  const first = bytes[at]
  if (first === undefined) throw cut()
  if (first < 192) return { length: first, header: 1, partial: false }
  if (first >= 224 && first < 255) return { length: 2 ** (first & 0x1f), header: 1, partial: true }
  const header = first === 255 ? 5 : 2
  if (at + header > bytes.length) throw cut()
  const length = first === 255 ? bytes.readUInt32BE(at + 1) : ((first - 192) << 8) + (bytes[at + 1] ?? 0) + 192
  return { length, header, partial: false }
}

function slice(bytes: Buffer, { tag, start, length }: { tag: number; start: number; length: number }): Packet {
  if (start + length > bytes.length) throw cut()
  return { tag, body: bytes.subarray(start, start + length), end: start + length }
}

function cut(): Rejection {
  return new Rejection('the message is cut or no OpenPGP message')
}
