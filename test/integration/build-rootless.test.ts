import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { type Ability, lacking } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { eventually } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import type { UserSession } from '../helpers/unprivileged-user.ts'

const lab = rootlessLab()

describe.each(['crun', 'runc'] as const)('a build without privilege, with %s', (ociRuntime) => {
  const needs: Ability[] = [...ROOTLESS_NEEDS, 'buildah', ociRuntime]
  const it = (name: string, work: () => Promise<void>) => testNeeding(needs, name, work, 60_000)
  let session: UserSession
  const text = (...lines: string[]) => ({ containerfile: { text: lines.join('\n') } })

  beforeAll(async () => {
    if (lacking(needs).length > 0) return
    session = lab().user.session()
    await session.call('open', { ...lab().options, ociRuntime })
  }, 30_000)

  afterAll(async () => {
    if (lacking(needs).length > 0) return
    await session.call('close')
    for (const path of ['staging', 'buildah/tmp']) expect(readdirSync(join(lab().root, path))).toEqual([])
    await session.end()
  })

  it('makes an image with files of other users, which runs', async () => {
    const steps = ['RUN echo made > /word && chown 1000:50 /word && chmod 4755 /word', 'RUN stat -c "%u:%g %a" /word > /stat']
    const id = await session.call('build', text(`FROM ${lab().owners}`, ...steps))
    const { stdout } = await session.call('run', id, ['sh', '-c', 'cat /word /stat; stat -c "%u:%g %a" /word'])
    expect(stdout).toBe('made\n1000:50 4755\n1000:50 4755\n')
  })

  it('can be fenced in by a mere chroot', async () => {
    const options = { ...text(`FROM ${lab().small}`, 'RUN id -u > /who'), isolation: 'chroot' } as const
    expect((await session.call('run', await session.call('build', options), ['cat', '/who'])).stdout).toBe('0\n')
  })

  it('ends with its program, be that killed', async () => {
    const doomed = lab().user.session()
    await doomed.call('open', { ...lab().options, ociRuntime })
    const build = doomed.call('build', text(`FROM ${lab().small}`, 'RUN sleep 86419 & sleep 86419')).catch(() => {})
    const sleepers = () =>
      lab()
        .user.processes()
        .filter(({ command }) => command.includes('86419'))
    await eventually(() => expect(sleepers().length).toBeGreaterThan(1), 20_000)
    await doomed.kill()
    await build
    await eventually(() => expect(sleepers()).toEqual([]))
    const next = lab().user.session()
    await next.call('open', { ...lab().options, ociRuntime })
    await next.call('build', text(`FROM ${lab().small}`, 'RUN true'))
    await next.call('close')
    await next.end()
    expect(readdirSync(join(lab().runRoot, 'io')).filter((name) => name.startsWith(`${doomed.pid}-`))).toEqual([])
  })

  it('ends with all that it has started when it is aborted', async () => {
    const endless = text(`FROM ${lab().small}`, 'RUN echo asleep; sleep 86418 & sleep 86418')
    expect(await failure(session.call('build', endless, 'asleep'))).toBeDefined()
    const sleepers = () =>
      lab()
        .user.processes()
        .filter(({ command }) => command.includes('86418') || command.includes('buildah'))
    await eventually(() => expect(sleepers()).toEqual([]))
    expect(await failure(session.call('build', text(`FROM ${lab().small}`, 'RUN exit 4')))).toMatchObject({
      code: 'ERR_BUILD_FAILED',
      details: { commandExitCode: 4 },
    })
  })
})
