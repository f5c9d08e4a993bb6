import type { PodlibErrorCode } from '../errors/codes.ts'
import { errorMessage, PodlibError } from '../errors/errors.ts'

/** What {@link parseStrictJson} should make of a document. */
export interface StrictJsonOptions {
  /** What the document is, for the error message: `manifest`, `token response`. */
  readonly what: string
  /** The code of the error for a bad document; `ERR_MANIFEST_INVALID` if absent. */
  readonly code?: PodlibErrorCode
  /** How many arrays and objects may be nested; 32 if absent. */
  readonly maxDepth?: number
  /**
   * Also refuse keys of one object that differ only in case: readers written in Go match member names
   * without regard to case, so to them such keys are duplicates.
   */
  readonly ignoreCase?: boolean
  /** Members whose value is a free map (`annotations`): its own keys are compared exactly even with `ignoreCase`. */
  readonly freeMaps?: ReadonlySet<string>
}

interface Frame {
  /** Keys seen, for an object; undefined for an array. */
  readonly keys: Set<string> | undefined
  readonly exact: boolean
  /** The key whose value is being read. */
  member: string | undefined
  /** Whether the next string is a key. */
  expectKey: boolean
}

/**
 * Parses JSON that two readers must understand alike: duplicate keys are refused (`JSON.parse` keeps the
 * last one, others the first, so one signed document could be two images), nesting is bounded, and the
 * key `__proto__` is refused because copying such an object could change a prototype.
 *
 * @throws the given code, or ERR_MANIFEST_INVALID
 */
export function parseStrictJson(text: string, options: StrictJsonOptions): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // V8's message quotes the text around the mistake, which may be a secret or an escape sequence.
    const position = / at position \d+/.exec(errorMessage(error))?.[0] ?? ''
    throw refuse(options, `is not JSON${position && ` (a mistake is${position})`}`)
  }
  scan(text, options)
  return value
}

// JSON.parse has proved the grammar, so the scan only has to follow brackets, commas and strings.
function scan(text: string, options: StrictJsonOptions): void {
  const maxDepth = options.maxDepth ?? 32
  const frames: Frame[] = []
  for (let at = 0; at < text.length; at++) {
    const top = frames.at(-1)
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const end = stringEnd(text, at)
        if (top?.expectKey) readKey(text.slice(at, end + 1), top, options)
        at = end
        break
      }
      case 0x7b: // {
      case 0x5b: {
        if (frames.length >= maxDepth) throw refuse(options, `is nested more than ${maxDepth} levels deep`)
        frames.push(openFrame(text[at] === '{', top, options))
        break
      }
      case 0x7d: // }
      case 0x5d:
        frames.pop()
        break
      case 0x2c: // ,
        if (top?.keys) top.expectKey = true
        break
    }
  }
}

function openFrame(isObject: boolean, parent: Frame | undefined, options: StrictJsonOptions): Frame {
  const free = parent?.member !== undefined && options.freeMaps?.has(parent.member) === true
  return { keys: isObject ? new Set() : undefined, exact: free || options.ignoreCase !== true, member: undefined, expectKey: isObject }
}

function readKey(quoted: string, frame: Frame, options: StrictJsonOptions): void {
  const key = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
  const compared = frame.exact ? key : foldCase(key)
  if (key === '__proto__') throw refuse(options, 'has a member named __proto__')
  if (frame.keys?.has(compared)) throw refuse(options, `names the member ${JSON.stringify(key.slice(0, 80))} twice`)
  frame.keys?.add(compared)
  frame.member = key
  frame.expectKey = false
}

function stringEnd(text: string, start: number): number {
  let end = start
  while (true) {
    end = text.indexOf('"', end + 1)
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/**
 * Folds case as Go's encoding/json does: `toLowerCase` already takes the Kelvin sign to k, the long s is
 * the other character outside ASCII that Go takes for an ASCII letter.
 */
export function foldCase(key: string): string {
  return key.toLowerCase().replaceAll('\u017f', 's')
}

function refuse(options: StrictJsonOptions, why: string): PodlibError {
  return new PodlibError(options.code ?? 'ERR_MANIFEST_INVALID', `the ${options.what} ${why}`, { details: { what: options.what } })
}
