import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

describe('work on images that is given up', () => {
  it('ends an import when the runtime is closed, and leaves nothing of it', async () => {
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const importing = failure(
      runtime.images.import(
        (async function* () {
          yield tar({ name: 'a', content: 'a'.repeat(200_000) }).subarray(0, 100_000)
          await new Promise(() => {})
        })(),
      ),
    )
    await eventually(() => expect(readdirSync(join(store.root, 'staging'))).toHaveLength(1))
    await runtime.close()
    expect(await importing).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    expect(readdirSync(join(store.root, 'staging'))).toEqual([])
  })

  for (const [verb, giveUp] of [
    ['removal', (runtime: Runtime, signal: AbortSignal) => runtime.images.remove(SMALL, { signal })],
    ['prune', (runtime: Runtime, signal: AbortSignal) => runtime.images.prune({ all: true, signal })],
  ] as const) {
    it(`does not wait for who is at the same layer (${verb})`, async () => {
      const store = await lab.store()
      const runtime = await store.open()
      const [layer] = (await (await runtime.images.get(SMALL)).inspect()).layers
      const holder = start('lock-holder.ts', join(store.runRoot, 'locks'), 'layer', layer?.diffId ?? '', 'wait')
      expect(await holder.line()).toBe('held')
      expect(await failure(giveUp(runtime, AbortSignal.timeout(300)))).toMatchObject({ name: 'TimeoutError' })
      expect(await runtime.images.list()).toEqual([])
      holder.kill('SIGKILL')
      await holder.exited
    })
  }
})
