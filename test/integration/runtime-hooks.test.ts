import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect } from '@jest/globals'
import type { Ability } from '../helpers/abilities.ts'
import { eventually, RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()

describe.each(['crun', 'runc'] as const)('hooks with %s', (ociRuntime) => {
  const needs: Ability[] = [...RUNTIME_NEEDS, ociRuntime]
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work)
  let directory: string
  /** What the hook has seen, a line each time. */
  const seen = () => readFileSync(join(directory, 'seen'), 'utf8').trim().split('\n').sort()

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'podlib-hooks-'))
    mkdirSync(join(directory, 'hooks.d'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** A hook that reads the file `mark` of the container's root file system, which it finds by the bundle in its standard input. */
  const writeHook = (stage: string, when: object) => {
    const script = [
      `bundle=$(sed -n 's/.*"bundle" *: *"\\([^"]*\\)".*/\\1/p')`,
      `root=$(sed -n 's/.*"root" *: *{[^}]*"path" *: *"\\([^"]*\\)".*/\\1/p' "$bundle/config.json")`,
      `cat "$root/mark" >> ${join(directory, 'seen')} 2>&1`,
    ].join('\n')
    const hook = { version: '1.0.0', hook: { path: '/bin/sh', args: ['sh', '-c', script] }, when, stages: [stage] }
    writeFileSync(join(directory, 'hooks.d', 'see.json'), JSON.stringify(hook))
  }

  it('at the end of a container still find its files, also when it goes at once', async () => {
    writeHook('poststop', { always: true })
    const runtime = await (await lab.store({ ociRuntime, hooksDirectories: [join(directory, 'hooks.d')] })).open()
    await runtime.run(SMALL, ['sh', '-c', 'echo attached > /mark'])
    await runtime.run(SMALL, ['sh', '-c', 'echo monitored > /mark'], { monitor: true })
    const ephemeral = await runtime.containers.run({ image: SMALL, command: ['sh', '-c', 'echo ephemeral > /mark'], ephemeral: true })
    await ephemeral.wait()
    const kept = await runtime.containers.run({ image: SMALL, command: ['sh', '-c', 'echo kept > /mark'] })
    await kept.wait()
    await kept.remove()
    await eventually(() => expect(seen()).toEqual(['attached', 'ephemeral', 'kept', 'monitored']))
  })

  it('meet only the containers that they are for', async () => {
    writeHook('poststop', { annotations: { '^see$': '^yes$' } })
    const runtime = await (await lab.store({ ociRuntime, hooksDirectories: [join(directory, 'hooks.d')] })).open()
    await runtime.run(SMALL, ['sh', '-c', 'echo other > /mark'], { monitor: true })
    await runtime.run(SMALL, ['sh', '-c', 'echo annotated > /mark'], { monitor: true, annotations: { see: 'yes' } })
    expect(seen()).toEqual(['annotated'])
  })
})
