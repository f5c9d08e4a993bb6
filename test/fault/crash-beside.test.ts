import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

/** Runs a task in a program that is killed at a step of it. */
async function dieAt(step: string, store: RuntimeStore, task: string): Promise<void> {
  const child = start('runtime-child.ts', task, JSON.stringify({ ...store.options, task: { image: SMALL, name: 'victim' } }), step)
  expect(await child.line()).toBe('open')
  expect({ line: await child.line(), exitCode: await child.exited }).toEqual({ line: undefined, exitCode: null })
}

async function withVictim(): Promise<{ store: RuntimeStore; runtime: Runtime }> {
  const store = await lab.store()
  const runtime = await store.open()
  await runtime.containers.create({ image: SMALL, name: 'victim', command: ['sleep', '1000'] })
  return { store, runtime }
}

/** What shows that a program died goes when the store is next opened, and nothing else is left then. */
async function recovered(store: RuntimeStore): Promise<void> {
  await store.open()
  await store.expectNothingLeaked()
}

describe('a program that dies while another has the store open', () => {
  for (const step of ['init: begun', 'init: mounted', 'init: bundle written', 'init: created']) {
    it(`in the middle of a start (${step}) leaves a container that the other can start`, async () => {
      const { store, runtime } = await withVictim()
      await dieAt(step, store, 'start')
      const container = await runtime.containers.get('victim')
      await container.start()
      expect(await container.exec(['echo', 'alive'])).toMatchObject({ stdout: 'alive\n' })
      await container.remove({ force: true })
      await recovered(store)
    })
  }
})
