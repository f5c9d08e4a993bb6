import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { loadPolicy } from '../../../src/trust/policy-file.ts'

const REJECT = '{"default":[{"type":"reject"}]}'
let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'podlib-policy-'))
})

afterEach(() => rm(home, { recursive: true }))

test('an explicit path wins over the home', async () => {
  const path = join(home, 'mine.json')
  await writeFile(path, REJECT)
  await userPolicy('not even JSON')
  expect(await loadPolicy({ path, home })).toMatchObject({ source: path, default: [{ type: 'reject' }] })
})

test("the user's policy wins over the system's", async () => {
  const path = await userPolicy(REJECT)
  expect((await loadPolicy({ home })).source).toBe(path)
})

test('no policy file is an error that says what to do', async () => {
  const path = join(home, 'none.json')
  await expect(loadPolicy({ path })).rejects.toMatchObject({
    code: 'ERR_POLICY_MISSING',
    message: expect.stringMatching(/none\.json.*insecureAcceptAnything\(\)/),
    details: { paths: [path] },
  })
})

test("a malformed policy of the user's is an error, not a reason to look further", async () => {
  await userPolicy('{"default":[]}')
  await expect(loadPolicy({ home })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID', details: { path: '$.default' } })
})

test('a policy that cannot be read is an error, not a reason to look further', async () => {
  await mkdir(join(home, '.config/containers/policy.json'), { recursive: true })
  await expect(loadPolicy({ home })).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID' })
})

test('an aborted signal stops the reading', async () => {
  await userPolicy(REJECT)
  const reason = new Error('enough')
  await expect(loadPolicy({ home, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

async function userPolicy(text: string): Promise<string> {
  await mkdir(join(home, '.config/containers'), { recursive: true })
  const path = join(home, '.config/containers/policy.json')
  await writeFile(path, text)
  return path
}
