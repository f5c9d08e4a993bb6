import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { readPauseRecord } from '../../../src/host/pause-process.ts'
import { readProcess } from '../../../src/host/proc.ts'
import { namespaceAdvice, nsenterArguments } from '../../../src/host/user-namespace.ts'
import { type Ability, lacking } from '../../helpers/abilities.ts'
import { failure } from '../../helpers/registry-world.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { testNeeding } from '../../helpers/test-needing.ts'
import { type UnprivilegedUser, unprivilegedUser } from '../../helpers/unprivileged-user.ts'
import { until } from '../../helpers/until.ts'

const directory = temporaryDirectories()

describe('advice on user namespaces', () => {
  const advice = (values: Readonly<Record<string, string>>) => namespaceAdvice((name) => values[name])

  test('names the switch that forbids them, and how to set it', () => {
    expect(advice({ 'user.max_user_namespaces': '0' })).toContain('sysctl user.max_user_namespaces=15000')
    expect(advice({ 'user.max_user_namespaces': '9', 'kernel.unprivileged_userns_clone': '0' })).toContain(
      'sysctl kernel.unprivileged_userns_clone=1',
    )
    expect(advice({ 'kernel.apparmor_restrict_unprivileged_userns': '1' })).toContain(
      'sysctl kernel.apparmor_restrict_unprivileged_userns=0',
    )
  })

  test('is general when none does', () => {
    expect(advice({ 'kernel.unprivileged_userns_clone': '1' })).toContain('must allow unprivileged user namespaces')
  })
})

test('groups are left alone where a single id is mapped', () => {
  const one = [{ inside: 0, outside: 1000, size: 1 }]
  expect(nsenterArguments({ pausePid: 7, uids: one, gids: one })).toEqual(['--target', '7', '--user', '--mount', '--preserve-credentials'])
  const two = [...one, { inside: 1, outside: 5000, size: 9 }]
  expect(nsenterArguments({ pausePid: 7, uids: two, gids: two })).toEqual(['--target', '7', '--user', '--mount'])
})

describe('the record of a pause process', () => {
  const record = { pid: 1, startTime: 0, bootId: '', userNamespace: 'user:[1]', mountNamespace: 'mnt:[1]' }

  test('of an earlier boot does not count', () => {
    const runRoot = directory()
    expect(readPauseRecord(runRoot)).toBeUndefined()
    writeFileSync(join(runRoot, 'pause.json'), JSON.stringify({ ...record, bootId: 'another' }))
    expect(readPauseRecord(runRoot)).toBeUndefined()
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    writeFileSync(join(runRoot, 'pause.json'), JSON.stringify({ ...record, bootId }))
    expect(readPauseRecord(runRoot)).toMatchObject(record.pid === 1 ? { pid: 1, bootId } : {})
  })

  test('that is damaged is named', () => {
    const runRoot = directory()
    writeFileSync(join(runRoot, 'pause.json'), '{"pid":')
    expect(() => readPauseRecord(runRoot)).toThrow(
      expect.objectContaining({ code: 'ERR_ROOTLESS_SETUP', message: expect.stringContaining('pause.json') }),
    )
  })
})

describe('a user namespace', () => {
  const needs: Ability[] = ['root', 'user namespaces', 'newuidmap']
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work)
  let user: UnprivilegedUser

  beforeAll(() => {
    if (lacking(needs).length === 0) user = unprivilegedUser()
  })
  afterAll(() => user?.end())

  it('is made once, whoever comes first, and ended', async () => {
    const sessions = [user.session(), user.session()] as const
    const runRoot = user.runtimeDirectory
    const [one, two] = await Promise.all(sessions.map((session) => session.call('joinNamespace', runRoot)))
    expect(one).toEqual(two)
    expect(one).toMatchObject({
      uids: [
        { inside: 0, outside: user.uid, size: 1 },
        { inside: 1, outside: user.firstSubordinate, size: 65536 },
      ],
    })
    expect(one?.gids).toEqual(one?.uids)
    const pid = one?.pausePid as number
    // It would keep a file system from being unmounted, and tell other programs what it was started with.
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toBe('')
    await sessions[0].call('endNamespace', runRoot)
    await until('the pause process is gone', () => (readProcess(pid)?.state ?? 'Z') === 'Z')
    expect(existsSync(join(runRoot, 'pause.json'))).toBe(false)
    await sessions[0].call('endNamespace', runRoot)
    for (const session of sessions) await session.end()
  })

  it('is made anew after its pause process was killed', async () => {
    const session = user.session()
    const before = await session.call('joinNamespace', user.runtimeDirectory)
    process.kill(before.pausePid, 'SIGKILL')
    await until('the pause process is gone', () => (readProcess(before.pausePid)?.state ?? 'Z') === 'Z')
    const after = await session.call('joinNamespace', user.runtimeDirectory)
    expect(after.pausePid).not.toBe(before.pausePid)
    await session.call('endNamespace', user.runtimeDirectory)
    await session.end()
  })

  it('is not left behind when its ids cannot be mapped', async () => {
    const ranges = Array.from({ length: 400 }, (_, i) => `${user.name}:${3_900_000_000 + i * 2}:1\n`).join('')
    const session = user.session({ subordinateIds: ranges })
    expect(await failure(session.call('joinNamespace', user.runtimeDirectory))).toMatchObject({ code: 'ERR_ROOTLESS_SETUP' })
    await session.end()
    await until('nothing of the user runs', () => user.processes().length === 0)
  })
})
