import { Rejection } from './rejection.ts'

/** One DER element. @see ITU-T X.690 */
export interface DerElement {
  /** The identifier octet: class, constructed bit and tag number. */
  readonly tag: number
  readonly content: Buffer
  /** The element with its header, as signatures cover it. */
  readonly raw: Buffer
}

export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
} as const

/** Reads exactly one element that fills all of `bytes`. */
export function readDer(bytes: Buffer, expected?: number): DerElement {
  const element = readElement(bytes)
  if (element.raw.length !== bytes.length) throw new Rejection('malformed certificate: trailing bytes')
  if (expected !== undefined) expectTag(element, expected)
  return element
}

/** The elements inside a constructed one. */
export function derChildren(element: DerElement): readonly DerElement[] {
  const children: DerElement[] = []
  for (let rest = element.content; rest.length > 0; ) {
    const child = readElement(rest)
    children.push(child)
    rest = rest.subarray(child.raw.length)
  }
  return children
}

export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag !== tag) throw new Rejection(`malformed certificate: expected DER tag ${tag}, found ${element?.tag ?? 'nothing'}`)
  return element
}

/** The dotted form of an object identifier. */
export function derOid(element: DerElement | undefined): string {
  const { content } = expectTag(element, DER.oid)
  const arcs: bigint[] = []
  let arc = 0n
  for (const [index, octet] of content.entries()) {
    if (arc === 0n && octet === 0x80) throw new Rejection('malformed certificate: padded object identifier')
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    if (octet & 0x80) {
      if (index === content.length - 1) throw new Rejection('malformed certificate: cut object identifier')
      continue
    }
    arcs.push(arc)
    arc = 0n
  }
  const first = arcs[0]
  if (first === undefined) throw new Rejection('malformed certificate: empty object identifier')
  const root = first < 80n ? first / 40n : 2n
  return [root, first - root * 40n, ...arcs.slice(1)].join('.')
}

/** A BOOLEAN; DER knows only 00 and FF. */
export function derBoolean(element: DerElement | undefined): boolean {
  const { content } = expectTag(element, DER.boolean)
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new Rejection('malformed certificate: bad boolean')
  return content[0] === 0xff
}

/** A small non-negative INTEGER. */
export function derSmallInteger(element: DerElement | undefined): number {
  const { content } = expectTag(element, DER.integer)
  if (content.length === 0 || content.length > 4 || (content[0] ?? 0) & 0x80) throw new Rejection('malformed certificate: bad integer')
  return content.readUIntBE(0, content.length)
}

function readElement(bytes: Buffer): DerElement {
  const [tag, first] = bytes
  if (tag === undefined || first === undefined) throw new Rejection('malformed certificate: cut DER element')
  if ((tag & 0x1f) === 0x1f) throw new Rejection('malformed certificate: long DER tag')
  const { length, header } = first < 0x80 ? { length: first, header: 2 } : longLength(bytes, first & 0x7f)
  if (header + length > bytes.length) throw new Rejection('malformed certificate: cut DER element')
  return { tag, content: bytes.subarray(header, header + length), raw: bytes.subarray(0, header + length) }
}

// DER has one form for each length; accepting others lets two readers see two certificates.
function longLength(bytes: Buffer, octets: number): { length: number; header: number } {
  if (octets === 0 || octets > 4 || bytes.length < 2 + octets) throw new Rejection('malformed certificate: bad DER length')
  const length = bytes.readUIntBE(2, octets)
  if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw new Rejection('malformed certificate: DER length is not minimal')
  return { length, header: 2 + octets }
}
