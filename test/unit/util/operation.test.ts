import { describe, expect, test } from '@jest/globals'
import { mapOperation, startOperation } from '../../../src/util/operation.ts'

describe('an operation', () => {
  test('is a promise of its result', async () => {
    await expect(startOperation(async () => 7, String)).resolves.toBe(7)
  })

  test('starts at once, without anybody waiting', () => {
    let started = false
    startOperation(async () => {
      started = true
    }, String)
    expect(started).toBe(true)
  })

  test('gives its progress in order and ends when it is done', async () => {
    const operation = startOperation<string, number>(async (report) => {
      for (const step of [1, 2, 3]) {
        report(step)
        await new Promise(setImmediate)
      }
      return 'done'
    }, String)
    const seen: number[] = []
    for await (const step of operation) seen.push(step)
    expect(seen).toEqual([1, 2, 3])
    await expect(operation).resolves.toBe('done')
  })

  test('keeps only the newest report of one key while nobody reads', async () => {
    const operation = startOperation<void, { layer: string; bytes: number }>(
      async (report) => {
        for (let bytes = 0; bytes < 1000; bytes++) report({ layer: bytes % 2 ? 'odd' : 'even', bytes })
      },
      ({ layer }) => layer,
    )
    const seen: number[] = []
    for await (const { bytes } of operation) seen.push(bytes)
    expect(seen).toEqual([998, 999])
  })

  test('fails the loop of who only iterates, and leaves no unhandled rejection', async () => {
    const operation = startOperation<void, number>(async (report) => {
      report(1)
      throw new Error('broken')
    }, String)
    const iterate = async () => {
      for await (const _ of operation);
    }
    await expect(iterate()).rejects.toThrow('broken')
  })

  test('keeps its progress when its result is mapped', async () => {
    const operation = mapOperation(
      startOperation<number, string>(async (report) => {
        report('half')
        return 2
      }, String),
      (result) => result * 2,
    )
    const seen: string[] = []
    for await (const step of operation) seen.push(step)
    expect(seen).toEqual(['half'])
    await expect(operation).resolves.toBe(4)
  })
})
