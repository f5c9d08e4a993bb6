import { constants } from 'node:os'

/** First and last real-time signals as glibc and musl programs see them. */
const RTMIN = 34
const RTMAX = 64

/**
 * The number of a signal from its number (`15`, `'15'`), its name with or without `SIG` in any case, or a real-time
 * name (`SIGRTMIN+3`). Undefined when it is none of these.
 */
export function parseSignal(value: number | string): number | undefined {
  const text = String(value).trim()
  if (/^\d{1,2}$/.test(text)) return inRange(Number(text))
  const name = text.toUpperCase().replace(/^SIG/, '')
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realTime) {
    const offset = Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`)
    const number = (realTime[1] === 'MIN' ? RTMIN : RTMAX) + offset
    return number >= RTMIN && number <= RTMAX ? number : undefined
  }
  const key = `SIG${name}`
  return Object.hasOwn(constants.signals, key) ? constants.signals[key as keyof typeof constants.signals] : undefined
}

/** The name of a signal number: `SIGTERM`, `SIGRTMIN+3`, or the number as text when it has no name. */
export function signalName(signal: number): string {
  if (signal >= RTMIN && signal <= RTMAX) return signal === RTMIN ? 'SIGRTMIN' : `SIGRTMIN+${signal - RTMIN}`
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? String(signal)
}

function inRange(signal: number): number | undefined {
  return signal >= 1 && signal <= RTMAX ? signal : undefined
}
