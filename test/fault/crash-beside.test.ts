import { describe, expect } from '@jest/globals'
import type { Container } from '../../src/index.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()

/** Runs a task in a program that is killed at a step of it. */
async function dieAt(step: string, store: RuntimeStore, task: string): Promise<void> {
  const child = start('runtime-child.ts', task, JSON.stringify({ ...store.options, task: { image: SMALL, name: 'victim' } }), step)
  expect(await child.line()).toBe('open')
  expect({ line: await child.line(), exitCode: await child.exited }).toEqual({ line: undefined, exitCode: null })
}

/** What shows that a program died goes when the store is next opened, and nothing else is left then. */
async function recovered(store: RuntimeStore): Promise<void> {
  await store.open()
  await store.expectNothingLeaked()
}

const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const nothing = async () => {}
const started = (container: Container) => container.start()

/** Deaths of the program with its workers, and of the program alone, whose workers live on for a moment. */
const DEATHS = [
  ['start', 'init: begun', nothing],
  ['start', 'init: bundle written', nothing],
  ['start', 'init: created', nothing],
  ['start', 'alone init: begun', nothing],
  ['start', 'alone init: bundle written', nothing],
  ['start', 'alone init: created', nothing],
  ['start', 'alone start: after the runtime', nothing],
  ['stop', 'alone stop: signal sent', started],
] as const

describe('a program that dies while another has the store open', () => {
  for (const [task, step, prepare] of DEATHS) {
    it(`in the middle of a ${task} (${step}) leaves a container that the other can use`, async () => {
      const store = await lab.store()
      const runtime = await store.open()
      const container = await runtime.containers.create({ image: SMALL, name: 'victim', command: ['sleep', '1000'] })
      await prepare(container)
      await dieAt(step, store, task)
      // In these it is known to run already, or ends.
      if (task === 'stop') await container.stop({ timeoutMs: 0 })
      await container.start().catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_CONTAINER_RUNNING' }))
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      await container.remove({ force: true })
      await recovered(store)
    })
  }

  for (const step of ['alone remove: begun', 'alone remove: storage removed']) {
    it(`in the middle of a removal (${step}) leaves one that the other can remove`, async () => {
      const store = await lab.store()
      const runtime = await store.open()
      const container = await runtime.containers.create({ image: SMALL, name: 'victim', command: ['sleep', '1000'] })
      await container.start()
      await container.stop({ timeoutMs: 0 })
      await dieAt(step, store, 'remove')
      await container.remove()
      expect(await runtime.containers.list()).toEqual([])
      await recovered(store)
    })
  }
})
