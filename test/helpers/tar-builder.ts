/**
 * Builds raw tars block by block, legal and malformed: every field of a header can be given as it is.
 * Independent of podlib's own writer, so that reader and writer are not tested against each other only.
 */
export interface TarBlock {
  name?: string | Buffer
  mode?: number
  uid?: number | Buffer
  gid?: number | Buffer
  /** The size field; the content's length when absent. */
  size?: number | Buffer
  mtime?: number | Buffer
  /** One character; default `0`. */
  type?: string
  linkName?: string | Buffer
  /** Magic and version, 8 bytes. */
  magic?: string
  major?: number
  minor?: number
  prefix?: string | Buffer
  content?: string | Buffer
  /** PAX records that go before the header, in order. */
  pax?: readonly (readonly [key: string, value: string | Buffer])[]
  /** A GNU long name (`L`) and long link (`K`) before the header. */
  longName?: string | Buffer
  longLink?: string | Buffer
  /** Raw bytes laid over the finished header block before the checksum is made. */
  overlay?: readonly (readonly [offset: number, bytes: string | Buffer])[]
  /** A wrong checksum. */
  badChecksum?: boolean
}

export const USTAR = 'ustar\x0000'
export const GNU = 'ustar  \0'
export const V7 = '\0\0\0\0\0\0\0\0'
const END = Buffer.alloc(1024)

/** A whole tar with end blocks. */
export function tar(...blocks: (TarBlock | Buffer)[]): Buffer {
  return Buffer.concat([...blocks.map((block) => (Buffer.isBuffer(block) ? block : tarMember(block))), END])
}

/** One member: extension headers, header, content, padding. No end blocks. */
export function tarMember(block: TarBlock): Buffer {
  const content = Buffer.from(block.content ?? '')
  const parts: Buffer[] = []
  if (block.longName !== undefined) parts.push(gnuLong('L', block.longName))
  if (block.longLink !== undefined) parts.push(gnuLong('K', block.longLink))
  if (block.pax) parts.push(paxMember('x', block.pax))
  return Buffer.concat([...parts, header({ size: content.length, ...block }), content, padding(content.length)])
}

/** A PAX header member: `x` for the next entry, `g` for all. */
export function paxMember(type: 'x' | 'g', records: readonly (readonly [string, string | Buffer])[]): Buffer {
  const content = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)))
  return tarMember({ name: 'PaxHeaders/x', type, content })
}

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = body.length
  while (length !== body.length + String(length).length) length = body.length + String(length).length
  return Buffer.concat([Buffer.from(String(length)), body])
}

/** GNU base-256: big-endian two's complement with the top bit set. */
export function base256(value: bigint, bytes: number): Buffer {
  const hex = BigInt.asUintN(bytes * 8, value)
    .toString(16)
    .padStart(bytes * 2, '0')
  const field = Buffer.from(hex, 'hex')
  field[0] = (field[0] ?? 0) | 0x80
  return field
}

/** The 512 bytes of a header. */
function header(block: TarBlock): Buffer {
  const out = Buffer.alloc(512)
  put(out, 0, 100, block.name ?? 'file')
  octal(out, 100, 8, block.mode ?? 0o644)
  octal(out, 108, 8, block.uid ?? 0)
  octal(out, 116, 8, block.gid ?? 0)
  octal(out, 124, 12, block.size ?? 0)
  octal(out, 136, 12, block.mtime ?? 1_700_000_000)
  put(out, 156, 1, block.type ?? '0')
  put(out, 157, 100, block.linkName ?? '')
  out.write(block.magic ?? USTAR, 257, 'latin1')
  octal(out, 329, 8, block.major ?? 0)
  octal(out, 337, 8, block.minor ?? 0)
  put(out, 345, 155, block.prefix ?? '')
  for (const [offset, bytes] of block.overlay ?? []) Buffer.from(bytes).copy(out, offset)
  out.fill(' ', 148, 156)
  const sum = out.reduce((total, byte) => total + byte, 0) + (block.badChecksum ? 1 : 0)
  out.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return out
}

function gnuLong(type: 'L' | 'K', name: string | Buffer): Buffer {
  return tarMember({ name: '././@LongLink', type, magic: GNU, content: Buffer.concat([Buffer.from(name), Buffer.from([0])]) })
}

function put(out: Buffer, at: number, length: number, value: string | Buffer): void {
  Buffer.from(value).subarray(0, length).copy(out, at)
}

function octal(out: Buffer, at: number, length: number, value: number | Buffer): void {
  if (Buffer.isBuffer(value)) value.copy(out, at, 0, length)
  else out.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1')
}

function padding(size: number): Buffer {
  return Buffer.alloc((512 - (size % 512)) % 512)
}
