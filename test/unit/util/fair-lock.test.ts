import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { FairLock } from '../../../src/util/fair-lock.ts'

test('whatever is asked for and given back, holders never clash, all are served in order, and it ends idle', async () => {
  const step = fc.record({ shared: fc.boolean(), abort: fc.boolean(), turns: fc.integer({ min: 0, max: 3 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const lock = new FairLock()
      const granted: number[] = []
      let shared = 0
      let exclusive = 0
      const work = async (index: number, { shared: isShared, abort, turns }: (typeof steps)[number]) => {
        const controller = new AbortController()
        const waiting = lock.acquire({ shared: isShared, signal: controller.signal })
        if (abort) controller.abort(new Error('enough'))
        const release = await waiting.catch(() => undefined)
        if (release === undefined) return
        granted.push(index)
        if (isShared) shared++
        else exclusive++
        expect(exclusive > 1 || (exclusive === 1 && shared > 0)).toBe(false)
        for (let turn = 0; turn < turns; turn++) await Promise.resolve()
        if (isShared) shared--
        else exclusive--
        release()
        release()
      }
      await Promise.all(steps.map((one, index) => work(index, one)))
      expect(granted).toEqual([...granted].sort((a, b) => a - b))
      expect(steps.every(({ abort }, index) => abort || granted.includes(index))).toBe(true)
      expect(lock.idle).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('an exclusive waiter that gives up lets the shared ones behind it in', async () => {
  const lock = new FairLock()
  const release = await lock.acquire({ shared: true })
  const abort = new AbortController()
  const exclusive = lock.acquire({ signal: abort.signal })
  const shared = lock.acquire({ shared: true })
  abort.abort(new Error('enough'))
  await expect(exclusive).rejects.toThrow('enough')
  const second = await shared
  release()
  second()
  expect(lock.idle).toBe(true)
})
