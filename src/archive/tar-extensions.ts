import { type PaxAttributes, parsePaxRecords, paxAttributes } from './pax.ts'
import { cutAtNul, invalidTar } from './tar-header.ts'

/** Most bytes of one extension header, and of one sparse map. */
export const MAX_EXTENSION_BYTES = 1024 * 1024

/** What extension headers say about the member that follows them. */
export interface MemberExtensions {
  readonly pax: PaxAttributes | undefined
  readonly longName: Buffer | undefined
  readonly longLink: Buffer | undefined
}

/** Collects the content of the headers before a member: PAX (`x`), GNU long name (`L`) and long link (`K`). */
export class ExtensionHeaders {
  #typeflag = ''
  #content: Buffer = Buffer.alloc(0)
  #filled = 0
  #pax: PaxAttributes | undefined
  #longName: Buffer | undefined
  #longLink: Buffer | undefined

  /** @throws ERR_LAYER_INVALID for one that is too large to be honest */
  start(typeflag: string, size: number, offset: number): void {
    if (size > MAX_EXTENSION_BYTES) throw invalidTar('extension header is too large', offset, { size })
    this.#typeflag = typeflag
    this.#content = Buffer.allocUnsafe(size)
    this.#filled = 0
  }

  /** Takes what it still needs of the chunk from `start` on, and says how much that was. */
  collect(chunk: Buffer, start: number): number {
    const used = chunk.copy(this.#content, this.#filled, start)
    this.#filled += used
    return used
  }

  /** Decodes the header once all of it is there. */
  finish(offset: number): boolean {
    if (this.#filled < this.#content.length) return false
    if (this.#typeflag === 'L') this.#longName = cutAtNul(this.#content)
    else if (this.#typeflag === 'K') this.#longLink = cutAtNul(this.#content)
    else this.#pax = paxAttributes(parsePaxRecords(this.#content, offset), offset)
    return true
  }

  /** What was found since the last member. */
  take(): MemberExtensions {
    const found = { pax: this.#pax, longName: this.#longName, longLink: this.#longLink }
    this.#pax = this.#longName = this.#longLink = undefined
    return found
  }
}
