import type { LogFile } from './log-file.ts'

const BLOCK_BYTES = 2 ** 16
const NEWLINE = 0x0a
/** A line that conmon did not split is not longer; what comes before is not looked at for the start of a record. */
const MAX_LOOK_BACK = 2 ** 20

/**
 * Where reading must begin to get the last `count` records, with all their parts. It may be earlier than
 * necessary: the reader counts again.
 */
export async function tailOffset(file: LogFile, count: number): Promise<number> {
  const walk = new BackwardWalk(count)
  let carried: Buffer = Buffer.alloc(0)
  let offset = await file.size()
  while (offset > 0) {
    const length = Math.min(BLOCK_BYTES, offset)
    const block = Buffer.concat([await file.readAt(offset - length, length), carried])
    offset -= length
    const first = offset === 0 ? 0 : block.indexOf(NEWLINE) + 1
    // A block in the middle of a long line: read on before it.
    if (first === 0 && offset > 0) {
      carried = block
      continue
    }
    const found = walk.lines(block, first, offset)
    if (found !== undefined) return found
    carried = block.subarray(0, first)
  }
  return 0
}

/** Goes through lines from the last to the first. */
class BackwardWalk {
  readonly #count: number
  #records = 0
  /** Streams of which a record was seen whose beginning was not. */
  readonly #open = new Set<string>()
  #enoughAt: number | undefined

  constructor(count: number) {
    this.#count = count
  }

  /** Lines of a block from `first` on; `base` is the block's offset in the file. Returns where to begin, once known. */
  lines(block: Buffer, first: number, base: number): number | undefined {
    for (let end = block.length; end > first; ) {
      const start = end < 2 ? first : Math.max(block.lastIndexOf(NEWLINE, end - 2) + 1, first)
      const line = block.toString('latin1', start, Math.min(end, start + 80))
      const found = this.#line(line, base + end)
      if (found !== undefined) return found
      end = start
    }
    return undefined
  }

  #line(line: string, endOffset: number): number | undefined {
    const [, stream, tag] = line.split(' ', 3)
    if (stream === undefined || tag === undefined) return undefined
    if (tag.startsWith('P')) {
      // A part whose end is not there: it counts as a record when the log ends with it.
      if (this.#records === 0 && !this.#open.has(stream)) this.#records++
      this.#open.add(stream)
      return this.#lookedBackFarEnough(endOffset)
    }
    this.#open.delete(stream)
    if (this.#records >= this.#count) {
      this.#enoughAt ??= endOffset
      return this.#open.size === 0 ? endOffset : this.#lookedBackFarEnough(endOffset)
    }
    this.#records++
    this.#open.add(stream)
    return undefined
  }

  #lookedBackFarEnough(offset: number): number | undefined {
    return this.#enoughAt !== undefined && this.#enoughAt - offset > MAX_LOOK_BACK ? offset : undefined
  }
}
