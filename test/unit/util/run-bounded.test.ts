import { describe, expect, test } from '@jest/globals'
import { runBounded } from '../../../src/util/run-bounded.ts'

const turn = () => new Promise(setImmediate)

describe('runBounded', () => {
  test('works on every item, never on more than the limit at a time', async () => {
    let [running, most] = [0, 0]
    const done: number[] = []
    await runBounded([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      most = Math.max(most, ++running)
      await turn()
      running--
      done.push(item)
    })
    expect(most).toBe(3)
    expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('a failure aborts the others, starts nothing more and waits until all have settled', async () => {
    const started: number[] = []
    let settled = false
    const work = async (item: number, signal: AbortSignal) => {
      started.push(item)
      if (item === 1) throw new Error('first failed')
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      await turn()
      settled = true
    }
    await expect(runBounded([1, 2, 3, 4], 2, work)).rejects.toThrow('first failed')
    expect(started).toEqual([1, 2])
    expect(settled).toBe(true)
  })

  test("an abort rejects with the signal's reason", async () => {
    const controller = new AbortController()
    const running = runBounded(
      [1],
      1,
      (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      controller.signal,
    )
    controller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
  })

  test('nothing to do is done', async () => {
    await expect(runBounded([], 4, async () => {})).resolves.toBeUndefined()
  })
})
