import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Database } from '../state/database.ts'
import { EVENTS_KEPT, type EventRow, eventRange, insertEvent, lastEventBefore, listEvents } from '../state/event-table.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { startTimer, type Timer } from '../util/timer.ts'
import type { EventAction, EventDraft, EventType, PodlibEvent } from './event.ts'

/** Rows that are read at a time: a reader who is slow or stops early costs little. */
const BATCH = 256

/** Which events. All conditions must hold; a list means any of it. @public */
export interface EventFilter {
  readonly types?: readonly EventType[]
  readonly actions?: readonly EventAction[]
  /** Ids or names of objects. */
  readonly subjects?: readonly string[]
  /** Labels that the object had. */
  readonly labels?: Readonly<Record<string, string>>
}

/** @public */
export interface EventQuery {
  /** A cursor: events after it, none missing. A date: events from then on. Default: all kept, or with `follow` only new ones. */
  readonly since?: number | Date
  /** Events up to this time; with `follow` the iteration ends then. */
  readonly until?: Date
  readonly filter?: EventFilter
  /** Go on with events as they happen, in this and in other processes. Default: end after the kept ones. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

/**
 * The events of a store: numbered, kept in the state database (the newest 10,000), seen by every process that has the
 * store open. An event recorded in the transaction of the change that it tells of cannot be lost or lie.
 */
export interface EventLog {
  /** Adds an event inside the running transaction. @returns its cursor. */
  record(draft: EventDraft): number
  /** Adds an event in a transaction of its own. @returns its cursor. */
  publish(draft: EventDraft, options?: { readonly signal?: AbortSignal }): Promise<number>
  /**
   * Kept events in order, then, with `follow`, new ones. Leaving the loop frees everything; closing the store ends it.
   *
   * @throws ERR_EVENTS_TRIMMED when events after the cursor are gone already, or the reader was so slow that they went
   * before it came; the signal's reason; ERR_INVALID_ARGUMENT for a cursor of another store.
   */
  events(query?: EventQuery): AsyncIterableIterator<PodlibEvent>
}

const QUERY: OptionNames<EventQuery> = { since: true, until: true, filter: true, follow: true, signal: true }
const FILTER: OptionNames<EventFilter> = { types: true, actions: true, subjects: true, labels: true }

/** @param keep - How many events are kept. */
export function createEventLog({ db, keep = EVENTS_KEPT }: { readonly db: Database; readonly keep?: number }): EventLog {
  const record = ({ type, action, id, name, attributes }: EventDraft) =>
    insertEvent(db, { time: Date.now(), type, action, subjectId: id, subjectName: name, attributes }, keep)
  return {
    record,
    publish: (draft, options) => db.transaction(() => record(draft), options),
    events: (query = {}) => readEvents(db, query),
  }
}

function readEvents(db: Database, query: EventQuery): AsyncIterableIterator<PodlibEvent> {
  checkOptions('events', query, QUERY)
  if (query.filter !== undefined) checkOptions('events: filter', query.filter, FILTER)
  // Fixed now, not at the first `next`: what happens in between is not to be missed.
  const range = db.read(() => ({ ...eventRange(db), after: firstCursor(db, query) }))
  const left = new AbortController()
  const generator = generate(db, query, { after: range.after, last: range.last, left: left.signal })
  return {
    next: () => generator.next(),
    return: (value) => {
      // A generator that waits for an event would return only when that comes.
      left.abort()
      return generator.return(value)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

async function* generate(
  db: Database,
  query: EventQuery,
  { after, last, left }: { after: number; last: number; left: AbortSignal },
): AsyncGenerator<PodlibEvent, undefined> {
  const { signal, follow = false, until } = query
  signal?.throwIfAborted()
  const waiter = new Waiter({ signal, left, until })
  const unsubscribe = follow ? db.onChange(() => waiter.wake()) : () => {}
  let cursor = after
  try {
    while (!left.aborted) {
      const seen = waiter.wakes
      const batch = nextBatch(db, cursor)
      if (batch === undefined) return undefined
      for (const row of batch) {
        if (!follow && row.seq > last) return undefined
        cursor = row.seq
        if (!matches(row, query)) continue
        yield toEvent(row)
        signal?.throwIfAborted()
      }
      if (batch.length === BATCH) continue
      if (!follow || (until !== undefined && Date.now() > until.getTime())) return undefined
      await waiter.wait(seen)
      signal?.throwIfAborted()
    }
  } finally {
    unsubscribe()
    waiter.close()
  }
  return undefined
}

/** Undefined when the store was closed under the reader. */
function nextBatch(db: Database, cursor: number): EventRow[] | undefined {
  try {
    const { rows, first } = db.read(() => {
      const rows = listEvents(db, cursor, BATCH)
      return { rows, first: rows[0]?.seq === cursor + 1 ? cursor + 1 : eventRange(db).first }
    })
    if (cursor > 0 && first > cursor + 1) throw trimmed(cursor, first)
    return rows
  } catch (error) {
    if (isPodlibError(error, 'ERR_RUNTIME_CLOSED')) return undefined
    throw error
  }
}

/** The cursor to begin after. */
function firstCursor(db: Database, { since, follow }: EventQuery): number {
  const { first, last } = eventRange(db)
  if (since === undefined) return follow ? last : Math.max(0, first - 1)
  if (typeof since !== 'number') return lastEventBefore(db, since.getTime())
  if (Number.isSafeInteger(since) && since >= 0 && since <= last) return since === 0 ? Math.max(0, first - 1) : since
  const text = `cursor ${since} is not from this store, whose last event is ${last}: start without one`
  throw new PodlibError('ERR_INVALID_ARGUMENT', text, { details: { since, last } })
}

function trimmed(cursor: number, first: number): PodlibError {
  const text = `events ${cursor + 1} to ${first - 1} are no longer kept: list the objects anew, then go on from cursor ${first - 1}`
  return new PodlibError('ERR_EVENTS_TRIMMED', text, { details: { cursor, first } })
}

function matches(row: EventRow, { since, until, filter = {} }: EventQuery): boolean {
  if (since instanceof Date && row.time < since.getTime()) return false
  if (until !== undefined && row.time > until.getTime()) return false
  const { types, actions, subjects, labels } = filter
  if (types && !types.some((type) => type === row.type)) return false
  if (actions && !actions.some((action) => action === row.action)) return false
  if (subjects && !subjects.includes(row.subjectId) && !subjects.includes(row.subjectName)) return false
  if (labels === undefined) return true
  const has = (row.attributes as { labels?: Readonly<Record<string, string>> }).labels ?? {}
  return Object.entries(labels).every(([key, value]) => Object.hasOwn(has, key) && has[key] === value)
}

function toEvent({ seq, time, type, action, subjectId, subjectName, attributes }: EventRow): PodlibEvent {
  return { cursor: seq, time: new Date(time), type, action, id: subjectId, name: subjectName, attributes } as PodlibEvent
}

/** Waits for whatever comes first: a change, an abort, the end of the time asked for, or the reader leaving. */
class Waiter {
  wakes = 0
  #resolve: (() => void) | undefined
  readonly #signals: readonly AbortSignal[]
  readonly #onAbort = () => this.wake()
  readonly #timer: Timer | undefined

  constructor({ signal, left, until }: { signal: AbortSignal | undefined; left: AbortSignal; until: Date | undefined }) {
    this.#signals = signal ? [signal, left] : [left]
    for (const one of this.#signals) one.addEventListener('abort', this.#onAbort)
    if (until === undefined) return
    this.#timer = startTimer(Math.max(0, until.getTime() - Date.now()) + 1, this.#onAbort, { ref: false })
  }

  wake(): void {
    this.wakes++
    this.#resolve?.()
  }

  /** Resolves at once when something has happened since `wakes` had this value. */
  async wait(seen: number): Promise<void> {
    if (this.wakes === seen) await new Promise<void>((resolve) => (this.#resolve = resolve))
  }

  close(): void {
    this.#timer?.stop()
    for (const one of this.#signals) one.removeEventListener('abort', this.#onAbort)
  }
}
