import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { openPodman } from '../helpers/podman.ts'
import { runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { ACCEPT_ANYTHING, RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding([...RUNTIME_NEEDS, 'podman'], name, work)
const REJECT = { default: [{ type: 'reject' }] }
let store: RuntimeStore
let tar: string
let layout: string

beforeAll(async () => {
  if (lacking(RUNTIME_NEEDS).length > 0) return
  store = await lab.emptyStore()
  ;[tar, layout] = [join(store.directory, 'layer.tar'), join(store.directory, 'layout')]
  await writeFile(join(store.directory, 'file'), 'content')
  await runProgram('tar', ['-C', store.directory, '-cf', tar, 'file'])
  await writeOciLayout(layout, { tag: 'latest', layers: [{ tar, compression: 'gzip' }] })
})

/** Opens the store with a policy, for as long as the work takes. */
async function withPolicy(policy: object, work: (runtime: Runtime) => Promise<void>): Promise<void> {
  const runtime = await store.open({ policy })
  try {
    await work(runtime)
  } finally {
    await runtime.close()
  }
}

const only = (transport: string, scope = '') => ({ ...REJECT, transports: { [transport]: { [scope]: ACCEPT_ANYTHING.default } } })
const worked = (work: Promise<unknown>) =>
  work.then(
    () => true,
    () => false,
  )

describe('a policy is asked about', () => {
  it('archives, layouts and directories by their transport', async () => {
    const formats = ['oci', 'dir', 'oci-archive', 'docker-archive'] as const
    await withPolicy(ACCEPT_ANYTHING, async (runtime) => {
      const image = await runtime.images.pull(`oci:${layout}:latest`)
      for (const format of formats) await image.save({ format, path: join(store.directory, 'forms', format) })
      await image.remove()
    })
    for (const format of formats) {
      const path = join(store.directory, 'forms', format)
      await withPolicy(only(format), async (runtime) => {
        expect(await runtime.trust.evaluate(`${format}:${path}`)).toMatchObject({ accepted: true, scope: { transport: format, scope: '' } })
        const [loaded] = await runtime.images.load(path, { names: [] })
        expect(await loaded?.verify()).toMatchObject({ accepted: true, decisions: [{ scope: { transport: format } }] })
        await loaded?.remove()
      })
      await withPolicy(only('docker'), async (runtime) => {
        expect(await runtime.trust.evaluate(`${format}:${path}`)).toMatchObject({ accepted: false, signed: false })
        expect(await failure(runtime.images.load(path))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
        expect(await runtime.images.list()).toEqual([])
      })
    }
  })

  it('an image that came by several ways as each of them', async () => {
    await withPolicy(ACCEPT_ANYTHING, async (runtime) => {
      const image = await runtime.images.pull(`oci:${layout}:latest`)
      const archive = join(store.directory, 'ways.tar')
      await image.save({ format: 'docker-archive', path: archive })
      await runtime.images.load(archive, { names: [] })
      expect((await image.verify()).decisions.map(({ scope }) => scope)).toHaveLength(2)
      expect(await image.verify({ policy: only('oci', layout) })).toMatchObject({ accepted: false, decisions: [{ accepted: true }, {}] })
      expect(await image.verify({ policy: only('oci') })).toMatchObject({ accepted: false })
      const both = { ...REJECT, transports: { ...only('oci').transports, ...only('docker-archive').transports } }
      expect(await image.verify({ policy: both })).toMatchObject({ accepted: true, objection: undefined })
      await image.remove()
    })
  })

  it('an import as podman asks it: by the transport tarball', async () => {
    const policy = join(store.directory, 'import.json')
    await using podman = await openPodman({ ociRuntime: 'crun' })
    for (const [document, accepted] of [
      [only('tarball'), true],
      [REJECT, false],
    ] as const) {
      await writeFile(policy, JSON.stringify(document))
      expect(await worked(podman.run('import', '--quiet', '--signature-policy', policy, tar))).toBe(accepted)
      await withPolicy(document, async (runtime) => {
        expect(await worked(runtime.images.import(tar))).toBe(accepted)
        for (const { id } of await runtime.images.list()) {
          expect(await runtime.images.verify(id)).toMatchObject({ accepted: true, decisions: [{ scope: { transport: 'tarball' } }] })
          await runtime.images.remove(id)
        }
      })
    }
  })

  it('what it says of each scope, and where signatures are', async () => {
    const policy = { ...REJECT, transports: { ...only('docker', '*.test').transports, ...only('dir', '/srv').transports } }
    const env = { ...process.env, HOME: store.directory }
    const directory = join(store.directory, '.config/containers/registries.d')
    await mkdir(directory, { recursive: true })
    await writeFile(
      join(directory, 'test.yaml'),
      'docker:\n  "*.test":\n    lookaside: https://s.test\n    use-sigstore-attachments: true\n',
    )
    const runtime = await store.open({ policy, env })
    const accepting = { requirements: [{ type: 'insecureAcceptAnything' }] }
    const standard = { lookaside: 'file:///var/lib/containers/sigstore', useSigstoreAttachments: false }
    expect(await runtime.trust.show()).toEqual({
      policy: 'the policy object',
      scopes: [
        { transport: undefined, scope: '', requirements: [{ type: 'reject' }], ...standard },
        { transport: 'docker', scope: '*.test', ...accepting, lookaside: 'https://s.test', useSigstoreAttachments: true },
        { transport: 'dir', scope: '/srv', ...accepting, lookaside: undefined, useSigstoreAttachments: false },
      ],
    })
    await runtime.close()
  })
})
