import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { Runtime } from '../../src/index.ts'
import { ACCEPT_ANYTHING } from '../helpers/runtime-store.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'

const directory = temporaryDirectories()

/** A store of a program that was killed, so that the next open sweeps. */
async function crashedStore() {
  const place = directory()
  const options = { root: join(place, 'root'), runRoot: join(place, 'run'), policy: ACCEPT_ANYTHING, registriesConf: '/dev/null' }
  await (await Runtime.open(options)).close()
  mkdirSync(join(options.runRoot, 'io', '4194304-1'), { recursive: true })
  const victim = join(place, 'victim')
  mkdirSync(join(victim, 'documents'), { recursive: true })
  mkdirSync(join(victim, 'a'.repeat(64)))
  writeFileSync(join(victim, '4194304-1-0000000000000000'), 'as if it were staged')
  return { options, victim }
}

test.each(['staging', 'layers', 'corrections', 'containers', 'buildah'])(
  'a link in the place of %s leads to no removal where it points to: the store is refused',
  async (name) => {
    const { options, victim } = await crashedStore()
    const path = join(options.root, name)
    symlinkSync(victim, path)
    const before = readdirSync(victim)
    await expect(Runtime.open(options)).rejects.toMatchObject({
      code: 'ERR_STORE_UNREADABLE',
      message: expect.stringContaining(`${path} is a symbolic link`),
      details: { root: options.root, path },
    })
    expect(readdirSync(victim)).toEqual(before)
  },
)

test('a store that is itself reached through a link is in order', async () => {
  const { options } = await crashedStore()
  const elsewhere = `${options.root}-elsewhere`
  renameSync(options.root, elsewhere)
  symlinkSync(elsewhere, options.root)
  await (await Runtime.open(options)).close()
  expect(readdirSync(join(options.runRoot, 'io'))).toEqual([])
})
