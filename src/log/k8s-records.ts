import { isAscii } from 'node:buffer'
import type { LogRecord } from './log-driver.ts'

type Stream = LogRecord['stream']

/** A record of which only some parts have been read. */
interface Unfinished {
  readonly time: number
  parts: string
}

const SPACE = 0x20
const PARTIAL_TAG = 'P'.charCodeAt(0)
/** `stdout` and `stderr` differ in the fourth letter. */
const STREAM_LETTER = 3
const STREAMS: Readonly<Record<string, Stream>> = { o: 'stdout', e: 'stderr' }
const STREAM_LENGTH = 6

/**
 * Makes records out of the lines of a k8s-file log: `<time> <stream> <F or P> <text>`. A line of output
 * may come in several parts, all but the last tagged `P`; they are joined for each stream on its own,
 * because the two may take turns.
 *
 * Blocks are decoded as Latin-1, where an index into the text is one into the bytes, and only text that is
 * not ASCII is decoded a second time, as a whole: a character may be cut by the end of a part.
 */
export class RecordParser {
  readonly #unfinished = new Map<Stream, Unfinished>()
  #text = ''
  #ascii = true
  #stamp = '?'
  #stampTime = Number.NaN
  readonly #makeRecord: typeof makeRecord

  constructor({ bytes = false }: { readonly bytes?: boolean | undefined } = {}) {
    this.#makeRecord = bytes ? makeRawRecord : makeRecord
  }

  /** The records that end in a block of whole lines. What is no log line is left out. */
  parse(block: Buffer): LogRecord[] {
    this.#ascii = isAscii(block)
    const text = block.toString('latin1')
    this.#text = text
    const records: LogRecord[] = []
    for (let start = 0; start < text.length; ) {
      const found = text.indexOf('\n', start)
      const end = found < 0 ? text.length : found
      const record = this.#line(start, end)
      if (record !== undefined) records.push(record)
      start = end + 1
    }
    return records
  }

  /** What was begun and never ended, oldest first. */
  finish(): LogRecord[] {
    const rest = [...this.#unfinished].map(([stream, record]) => this.#makeRecord(stream, record, true))
    this.#unfinished.clear()
    return rest.sort((a, b) => a.time.getTime() - b.time.getTime())
  }

  /** The record that a line completes. */
  #line(start: number, end: number): LogRecord | undefined {
    const text = this.#text
    const streamAt = this.#readStamp(text, start)
    const tagAt = streamAt + STREAM_LENGTH + 1
    const textAt = text.indexOf(' ', tagAt) + 1
    const stream = STREAMS[text[streamAt + STREAM_LETTER] ?? '']
    if (streamAt === 0 || textAt === 0 || textAt > end || stream === undefined || Number.isNaN(this.#stampTime)) return undefined
    const content = text.slice(textAt, end)
    const begun = this.#unfinished.size === 0 ? undefined : this.#unfinished.get(stream)
    if (text.charCodeAt(tagAt) === PARTIAL_TAG) {
      if (begun) begun.parts += content
      else this.#unfinished.set(stream, { time: this.#stampTime, parts: content })
      return undefined
    }
    if (begun === undefined) {
      if (this.#ascii) return { stream, time: new Date(this.#stampTime), text: content, partial: false }
      return this.#makeRecord(stream, { time: this.#stampTime, parts: content }, false)
    }
    this.#unfinished.delete(stream)
    return this.#makeRecord(stream, { time: begun.time, parts: begun.parts + content }, false)
  }

  /** Reads the time at `start` and returns where the stream's name begins, 0 when there is no time. Lines that were written together share it. */
  #readStamp(text: string, start: number): number {
    const length = this.#stamp.length
    if (text.charCodeAt(start + length) === SPACE && text.startsWith(this.#stamp, start)) return start + length + 1
    const end = text.indexOf(' ', start)
    if (end < 0) return 0
    this.#stamp = text.slice(start, end)
    this.#stampTime = Date.parse(this.#stamp)
    return end + 1
  }
}

const NOT_ASCII = /[\x80-\xff]/

function makeRecord(stream: Stream, { time, parts }: Unfinished, partial: boolean): LogRecord {
  const text = NOT_ASCII.test(parts) ? Buffer.from(parts, 'latin1').toString('utf8') : parts
  return { stream, time: new Date(time), text, partial }
}

function makeRawRecord(stream: Stream, { time, parts }: Unfinished, partial: boolean): LogRecord {
  return { stream, time: new Date(time), text: parts, partial }
}
