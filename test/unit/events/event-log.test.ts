import { getEventListeners } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { EventDraft, PodlibEvent } from '../../../src/events/event.ts'
import { createEventLog, type EventLog, type EventQuery } from '../../../src/events/event-log.ts'
import { insertContainer } from '../../../src/state/container-table.ts'
import { type Database, openDatabase } from '../../../src/state/database.ts'
import { insertEvent } from '../../../src/state/event-table.ts'
import { childPrograms } from '../../helpers/child-program.ts'
import { containerRow } from '../../helpers/state-rows.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()
const start = childPrograms()
let db: Database
let log: EventLog
beforeEach(async () => {
  db = await openDatabase(join(newDirectory(), 'podlib.db'))
  log = createEventLog({ db })
})
afterEach(() => db.close())

const started = (name: string, labels: Record<string, string> = {}): EventDraft => ({
  type: 'container',
  action: 'start',
  id: name,
  name,
  attributes: { image: 'alpine', labels },
})
const died = (name: string, exitCode: number): EventDraft => ({
  type: 'container',
  action: 'died',
  id: name,
  name,
  attributes: { exitCode, oomKilled: false },
})

/** The names of the events that a query gives, up to `count`. */
async function names(query: EventQuery, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const found: string[] = []
  if (count === 0) return found
  for await (const event of log.events(query)) if (found.push(event.name) >= count) break
  return found
}

describe('replay', () => {
  test('gives the kept events in order, numbered, with what they tell', async () => {
    const cursors = [await log.publish(started('a', { app: 'web' })), await log.publish(died('a', 137))]
    const events: PodlibEvent[] = []
    for await (const event of log.events()) events.push(event)
    expect(cursors).toEqual([1, 2])
    expect(events.map(({ cursor, type, action }) => [cursor, type, action])).toEqual([
      [1, 'container', 'start'],
      [2, 'container', 'died'],
    ])
    const [first, second] = events
    expect(first?.attributes).toEqual({ image: 'alpine', labels: { app: 'web' } })
    expect(Math.abs(Date.now() - (first?.time.getTime() ?? 0))).toBeLessThan(60_000)
    if (second?.type === 'container' && second.action === 'died') expect(second.attributes.exitCode).toBe(137)
  })

  test('goes on after a cursor, across a restart, without a gap or a repetition', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await log.publish(started(name))
    expect(await names({ since: 2 })).toEqual(['c', 'd'])
    expect(await names({ since: 0 })).toEqual(['a', 'b', 'c', 'd'])
    expect(await names({ since: 4 })).toEqual([])
    const { path } = db
    db.close()
    db = await openDatabase(path)
    log = createEventLog({ db })
    expect(await log.publish(started('e'))).toBe(5)
    expect(await names({ since: 3 })).toEqual(['d', 'e'])
  })

  test('keeps to the times asked for, also when the clock was set back', async () => {
    const at = (time: number, name: string) =>
      insertEvent(db, { time, type: 'container', action: 'start', subjectId: name, subjectName: name, attributes: {} })
    await db.transaction(() => {
      at(1000, 'a')
      at(3000, 'b')
      at(2000, 'c')
      at(4000, 'd')
    })
    expect(await names({ since: new Date(2000) })).toEqual(['b', 'c', 'd'])
    expect(await names({ since: new Date(2000), until: new Date(3000) })).toEqual(['b', 'c'])
    expect(await names({ until: new Date(1000) })).toEqual(['a'])
    expect(await names({ since: new Date(9000) })).toEqual([])
  })

  test('keeps to every condition of its filter', async () => {
    await log.publish(started('a', { app: 'web' }))
    await log.publish(died('a', 0))
    await log.publish({ type: 'image', action: 'pull', id: 'i', name: 'alpine', attributes: { reference: 'alpine:3' } })
    const actions = async (filter: EventQuery['filter']) => {
      const found: string[] = []
      for await (const event of log.events(filter ? { filter } : {})) found.push(`${event.type} ${event.action}`)
      return found
    }
    expect(await actions({ types: ['image'] })).toEqual(['image pull'])
    expect(await actions({ types: ['image', 'container'], actions: ['died'] })).toEqual(['container died'])
    expect(await actions({ subjects: ['a', 'alpine'] })).toHaveLength(3)
    expect(await actions({ labels: { app: 'web' } })).toEqual(['container start'])
    expect(await actions({ labels: { toString: 'x' } })).toEqual([])
  })

  test('without follow ends, however fast new events come', async () => {
    for (let i = 0; i < 600; i++) await log.publish(started(`${i}`))
    let seen = 0
    for await (const event of log.events()) {
      seen++
      await log.publish(started(`again ${event.name}`))
    }
    expect(seen).toBe(600)
  })

  test.each([5, -1, 1.5, Number.NaN])('refuses the cursor %d of another store', async (since) => {
    await log.publish(started('a'))
    expect(() => log.events({ since })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  })

  test('is all there with any cursor that was ever seen', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 60 }), fc.nat(60), async (count, stop) => {
        const store = await openDatabase(join(newDirectory(), 'podlib.db'))
        const own = createEventLog({ db: store })
        await store.transaction(() => {
          for (let i = 1; i <= count; i++) own.record(started(`${i}`))
        })
        const seen: number[] = []
        for await (const { cursor } of own.events()) if (seen.push(cursor) >= stop) break
        for await (const { cursor } of own.events({ since: seen.at(-1) ?? 0 })) seen.push(cursor)
        expect(seen).toEqual(Array.from({ length: count }, (_, i) => i + 1))
        store.close()
      }),
      { numRuns: 15 },
    )
  })
})

describe('an event', () => {
  test('that is recorded with a change comes with it or not at all', async () => {
    const failing = db.transaction(() => {
      insertContainer(db, containerRow('c'), {})
      log.record(started('c'))
      throw new RangeError('no')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await names({})).toEqual([])
    expect(() => log.record(started('c'))).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }))
  })

  test('beyond the limit takes the oldest away, and a lower limit is reached bit by bit', async () => {
    const small = createEventLog({ db, keep: 5 })
    await db.transaction(() => {
      for (let i = 1; i <= 200; i++) log.record(started(`${i}`))
    })
    for (let i = 201; i <= 203; i++) await small.publish(started(`${i}`))
    expect(await names({})).toHaveLength(203 - 3 * 64)
    await small.publish(started('204'))
    expect(await names({})).toEqual(['200', '201', '202', '203', '204'])
    expect(await names({ since: 0 })).toHaveLength(5)
    await expect(names({ since: 198 })).rejects.toMatchObject({ code: 'ERR_EVENTS_TRIMMED', details: { cursor: 198, first: 200 } })
    expect(await names({ since: 199 })).toHaveLength(5)
  })
})

describe('follow', () => {
  test('gives only new events when no beginning is asked for, from the call on', async () => {
    await log.publish(started('old'))
    const events = log.events({ follow: true })
    await log.publish(started('a'))
    const first = await events.next()
    setTimeout(() => void log.publish(started('b')), 20)
    const second = await events.next()
    expect([first.value?.name, second.value?.name]).toEqual(['a', 'b'])
    await events.return?.()
  })

  test('goes from the kept events to new ones without a gap, while others publish', async () => {
    for (let i = 0; i < 50; i++) await log.publish(started(`${i}`))
    const publishing = (async () => {
      for (let i = 50; i < 700; i++) await log.publish(started(`${i}`))
    })()
    expect(await names({ since: 0, follow: true }, 700)).toEqual(Array.from({ length: 700 }, (_, i) => `${i}`))
    await publishing
  })

  test('sees what another process publishes, soon', async () => {
    const followed = names({ follow: true }, 300)
    const publisher = start('event-publisher.ts', db.path, '300')
    expect(await publisher.exited).toBe(0)
    const ended = Date.now()
    expect(await followed).toEqual(Array.from({ length: 300 }, (_, i) => `c${i}`))
    expect(Date.now() - ended).toBeLessThan(1000)
  })

  test('serves many readers, each with its own pace and filter', async () => {
    const all = names({ since: 0, follow: true }, 20)
    const dead = names({ since: 0, follow: true, filter: { actions: ['died'] } }, 10)
    for (let i = 0; i < 10; i++) {
      await log.publish(started(`${i}`))
      await log.publish(died(`${i}`, i))
    }
    expect(await all).toHaveLength(20)
    expect(await dead).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`))
  })

  test('ends at the time asked for', async () => {
    const followed = names({ since: 0, follow: true, until: new Date(Date.now() + 150) })
    await log.publish(started('a'))
    const keepAlive = setTimeout(() => {}, 5000)
    expect(await followed).toEqual(['a'])
    clearTimeout(keepAlive)
  })

  test('ends with the reason of its signal, before and while it waits, and leaves no listener', async () => {
    const abort = new AbortController()
    const followed = names({ follow: true, signal: abort.signal })
    await sleep(20)
    abort.abort(new Error('enough'))
    await expect(followed).rejects.toThrow('enough')
    await expect(names({ follow: true, signal: abort.signal })).rejects.toThrow('enough')
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
  })

  test('can be left while it waits', async () => {
    const events = log.events({ follow: true })
    const next = events.next()
    await sleep(20)
    await events.return?.()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(await events.next()).toEqual({ done: true, value: undefined })
  })

  test('ends when the store is closed', async () => {
    const followed = names({ follow: true })
    await sleep(20)
    db.close()
    expect(await followed).toEqual([])
    expect(() => log.events()).toThrow(expect.objectContaining({ code: 'ERR_RUNTIME_CLOSED' }))
  })

  test('goes on for one opening of a store when another in the process closes', async () => {
    const again = await openDatabase(db.path)
    const followed = names({ follow: true }, 1)
    await sleep(20)
    await createEventLog({ db: again }).publish(started('a'))
    again.close()
    expect(await followed).toEqual(['a'])
  })

  test('tells a reader who is too slow that events went before it came', async () => {
    const small = createEventLog({ db, keep: 3 })
    const events = small.events({ follow: true })
    await small.publish(started('0'))
    expect((await events.next()).value?.name).toBe('0')
    for (let i = 1; i < 10; i++) await small.publish(started(`${i}`))
    await expect(events.next()).rejects.toMatchObject({ code: 'ERR_EVENTS_TRIMMED' })
  })

  test('does not keep a program running', async () => {
    const follower = start('event-follower.ts', db.path)
    expect(await follower.line()).toBe('following')
    // 13: the program ended while it waited for a promise that nothing can settle any more
    expect(await follower.exited).toBe(13)
  })
})
