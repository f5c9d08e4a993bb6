import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { afterEach, describe, expect } from '@jest/globals'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import type { LoginOptions, UserSession } from '../helpers/unprivileged-user.ts'

const lab = rootlessLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(ROOTLESS_NEEDS, name, work)
const sessions: UserSession[] = []

async function open(login: LoginOptions = {}): Promise<UserSession> {
  const session = lab().user.session(login)
  sessions.push(session)
  await session.call('open', lab().options)
  return session
}

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end()
  await lab()?.expectNothingLeft()
})

describe('a user namespace is refused with what is missing', () => {
  const refused = async (login: LoginOptions) => failure((await open(login)).call('info'))

  it('newuidmap', async () => {
    const error = await refused({ without: ['newuidmap'] })
    expect(error).toMatchObject({ code: 'ERR_ROOTLESS_SETUP', kind: 'unavailable' })
    expect(error.message).toMatch(/newuidmap.*Debian: uidmap/)
  })

  it('user namespaces of the kernel', async () => {
    const error = await refused({ userNamespaces: false })
    expect(error).toMatchObject({ code: 'ERR_ROOTLESS_SETUP' })
    expect(error.message).toMatch(/unshare.*Operation not permitted.*must allow unprivileged user namespaces/)
  })

  it('ids of its own', async () => {
    const { name, uid } = lab().user
    expect((await refused({ subordinateIds: `${name}:${uid}:10\n` })).message).toContain(`/etc/subuid gives ${name} the id ${uid} twice`)
  })

  it('ids that the system agrees to', async () => {
    // The file that podlib reads names a range, the one that newuidmap goes by at the same time does not: too many ranges.
    const ranges = Array.from({ length: 400 }, (_, i) => `${lab().user.name}:${3_900_000_000 + i * 2}:1\n`).join('')
    const error = await refused({ subordinateIds: ranges })
    expect(error).toMatchObject({ code: 'ERR_ROOTLESS_SETUP' })
    expect(error.message).toMatch(/newuidmap refused the mapping \(.+\): check \/etc\/subuid/)
  })
})

describe('a user without subordinate ids', () => {
  const login = { subordinateIds: '' }

  it('runs images of one owner, as root only', async () => {
    const session = await open(login)
    expect((await session.call('info')).host).toMatchObject({ rootless: true, userIds: 1 })
    await session.call('pull', lab().small)
    expect(await session.call('run', lab().small, ['sh', '-c', 'id -u; touch /x && stat -c %u /x'])).toMatchObject({ stdout: '0\n0\n' })
    expect(await session.call('run', lab().small, ['echo', 'x'], { monitor: true })).toMatchObject({ stdout: 'x\n' })
    const id = await session.call('start', { image: lab().small, command: ['sleep', '1000'] })
    expect(await session.call('exec', id, ['id', '-u'])).toMatchObject({ stdout: '0\n' })
    await session.call('remove', id)
    expect(await failure(session.call('run', lab().small, ['true'], { user: '1000' }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  it('is told what files of other owners need', async () => {
    const session = await open(login)
    const error = await failure(session.call('pull', lab().owners))
    expect(error).toMatchObject({ code: 'ERR_ROOTLESS_SETUP', details: { uid: 1000, gid: 1000 } })
    expect(error.message).toContain('add to /etc/subuid and /etc/subgid')
  })
})

describe('a user without XDG_RUNTIME_DIR', () => {
  const login = { env: { XDG_RUNTIME_DIR: undefined } }
  const path = () => `/tmp/podlib-run-${lab().user.uid}`

  it('gets a directory of its own in /tmp', async () => {
    const session = await open(login)
    expect(await session.call('info')).toMatchObject({ runRoot: path() })
    expect(statSync(path())).toMatchObject({ uid: lab().user.uid, mode: 0o40700 })
    await session.call('close')
    rmSync(path(), { recursive: true })
  })

  it('does not use one that somebody else has made there', async () => {
    mkdirSync(path(), { mode: 0o777 })
    chownSync(path(), 12345, 12345)
    try {
      expect(await failure(open(login))).toMatchObject({ code: 'ERR_STORE_UNREADABLE', details: { path: path(), uid: 12345 } })
    } finally {
      rmSync(path(), { recursive: true })
    }
  })
})

it('the pause process holds nothing that the program was given', async () => {
  const session = await open({ inherit: { fd: 7, pipe: 'pipe' } })
  const pipe = (session.process.stdio as readonly unknown[])[7] as Readable
  const ended = once(pipe.resume(), 'end')
  await session.call('pull', lab().small)
  const id = await session.call('start', { image: lab().small, command: ['sleep', '1000'] })
  await session.kill()
  await ended
  const next = await open()
  await next.call('remove', id)
})

it('the quickstart runs', async () => {
  const { user } = lab()
  if (!existsSync('examples/quickstart.ts')) return
  const child = user.spawn([user.node, '--no-warnings', user.seen('examples/quickstart.ts')], { env: { HTTPS_PROXY: undefined } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = await once(child, 'exit')
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('it ended with code 7') })
})
