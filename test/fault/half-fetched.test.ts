import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { openDatabase } from '../../src/state/database.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

const importOne = (runtime: Runtime) =>
  runtime.images.import(
    (async function* () {
      yield tar({ name: 'a', content: 'b' })
    })(),
  )

describe('a layer that was unpacked and cannot be kept', () => {
  it('because it cannot be moved to its place leaves nothing', async () => {
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const root = store.options.root as string
    writeFileSync(join(root, 'layers'), 'in the way')
    await expect(importOne(runtime)).rejects.toThrow()
    expect(readdirSync(join(root, 'staging'))).toEqual([])
    rmSync(join(root, 'layers'))
    await importOne(runtime)
  })

  it('because its row cannot be written leaves nothing', async () => {
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const root = store.options.root as string
    const db = await openDatabase(join(root, 'podlib.db'))
    try {
      await db.transaction(() => db.run("CREATE TRIGGER full BEFORE INSERT ON layers BEGIN SELECT RAISE(ABORT, 'full'); END"))
      await expect(importOne(runtime)).rejects.toThrow()
      expect(readdirSync(join(root, 'layers'))).toEqual([])
      expect(readdirSync(join(root, 'staging'))).toEqual([])
      await db.transaction(() => db.run('DROP TRIGGER full'))
      await importOne(runtime)
      expect(existsSync(join(root, 'layers'))).toBe(true)
    } finally {
      db.close()
    }
  })
})
