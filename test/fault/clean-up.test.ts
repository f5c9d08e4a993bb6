import { mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { childPrograms } from '../helpers/child-program.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

describe('a clean-up that fails', () => {
  it('behind the back of a program does not end it, and shows as an event', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const input = { image: SMALL, name: 'victim' }
    const child = start('runtime-child.ts', 'hearOfCleanup', JSON.stringify({ ...store.options, task: input }))
    expect([await child.line(), await child.line()]).toEqual(['open', 'runs'])
    const { id } = await runtime.containers.get('victim')
    const lock = join(store.options.runRoot as string, 'locks', `container-${id}`)
    // No failure that podlib has a name for: it is the system's.
    rmSync(lock, { force: true })
    mkdirSync(lock)
    expect(await child.line()).toContain('EISDIR')
    rmdirSync(lock)
  })
})
