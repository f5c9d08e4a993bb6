import { invalidOption } from './options.ts'

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i
const SIZE_FACTORS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 }

const DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/
const DURATION_PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g
const DURATION_FACTORS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * Bytes from a number or from what people write: `'256m'`, `'1.5GiB'`, `'64k'`. Units are powers of 1024, with or
 * without `b` or `ib`, as in every other container tool.
 *
 * @throws ERR_INVALID_ARGUMENT naming `what`.
 */
export function parseSize(value: number | string, what: string): number {
  const match = typeof value === 'string' ? SIZE.exec(value.trim()) : undefined
  const bytes = match ? Math.floor(Number(match[1]) * (SIZE_FACTORS[(match[2] ?? '').toLowerCase()] ?? Number.NaN)) : value
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0) return bytes
  throw invalidOption(what, value, "give bytes as a whole number, or text such as '256m' or '1.5g'")
}

/**
 * Milliseconds from a number of milliseconds or from a duration with units: `'30s'`, `'1h30m'`, `'250ms'`. Text without
 * a unit is refused: half of the tools read it as seconds and the other half as milliseconds.
 *
 * @throws ERR_INVALID_ARGUMENT naming `what`.
 */
export function parseDuration(value: number | string, what: string): number {
  const ms = typeof value === 'string' ? durationText(value.trim()) : value
  if (Number.isFinite(ms) && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER) return Math.round(ms)
  throw invalidOption(what, value, "give milliseconds as a number, or text with a unit such as '30s' or '1m30s'")
}

function durationText(text: string): number {
  if (text === '0') return 0
  if (!DURATION.test(text)) return Number.NaN
  let ms = 0
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) ms += Number(amount) * (DURATION_FACTORS[unit as string] ?? Number.NaN)
  return ms
}
