import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { openDatabase } from '../../src/state/database.ts'
import { insertLayer, listLayers } from '../../src/state/layer-table.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { runProgram } from '../helpers/programs.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { digestOfWord, idOf, layerRow } from '../helpers/state-rows.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

/** No process has this number and this start time. */
const DEAD = '4194305-1'

describe('the opening of a store', () => {
  it('succeeds although a layer cannot be removed, which is tried again at the next', async () => {
    const store = await lab.store()
    const { root } = store
    const db = await openDatabase(join(root, 'podlib.db'))
    await db.transaction(() => {
      for (const word of ['stuck', 'other']) insertLayer(db, layerRow(word, { state: 'deleting' }))
    })
    const place = join(root, 'layers', idOf('stuck'))
    for (const path of [place, join(root, 'layers', idOf('other'))]) mkdirSync(path)
    await runProgram('mount', ['-t', 'tmpfs', 'none', place])
    const doomed = () => listLayers(db, 'deleting').map(({ diffId }) => diffId)
    try {
      await (await store.open()).close()
      expect(doomed()).toEqual([digestOfWord('stuck')])
    } finally {
      await runProgram('umount', [place])
    }
    await store.open()
    expect([doomed(), existsSync(place)]).toEqual([[], false])
    db.close()
  })

  it('after a crash takes away what is on the host of containers without a row, unless somebody is at it', async () => {
    const store = await lab.store()
    const { root, runRoot } = store
    const runtime = await store.open()
    const { id: known } = await runtime.containers.create({ image: SMALL, command: ['true'] })
    await runtime.close()
    const [lost, busy] = [idOf('lost'), idOf('busy')]
    const places = (id: string) => [join(runRoot, 'mounts', id), join(runRoot, 'bundles', id), join(root, 'containers', id)]
    for (const path of [known, lost, busy].flatMap(places)) mkdirSync(path, { recursive: true })
    writeFileSync(join(runRoot, 'bundles', lost, 'config.json'), '{}')
    const merged = join(runRoot, 'mounts', lost, 'merged')
    mkdirSync(merged)
    await runProgram('mount', ['-t', 'tmpfs', 'none', merged])
    mkdirSync(join(runRoot, 'io', DEAD), { recursive: true })
    const holder = start('lock-holder.ts', join(runRoot, 'locks'), 'container', busy, 'wait')
    expect(await holder.line()).toBe('held')
    await (await store.open()).close()
    const left = () => [...readdirSync(join(runRoot, 'mounts')), ...readdirSync(join(root, 'containers'))]
    expect(new Set(left())).toEqual(new Set([known, busy]))
    holder.kill('SIGKILL')
    await holder.exited
    mkdirSync(join(runRoot, 'io', DEAD), { recursive: true })
    await store.open()
    expect(new Set(left())).toEqual(new Set([known]))
  })
})
