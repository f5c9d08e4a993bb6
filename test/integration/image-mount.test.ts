import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Image, Runtime } from '../../src/index.ts'
import { childPrograms } from '../helpers/child-program.ts'
import { openPodman } from '../helpers/podman.ts'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { eventually, RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { tar } from '../helpers/tar-builder.ts'
import { tarImage } from '../helpers/tar-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const rootless = rootlessLab()
const directory = temporaryDirectories()
const start = childPrograms()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)

const dir = (name: string) => ({ name, type: '5', mode: 0o755, mtime: 1 })
const file = (name: string, content: string) => ({ name, content, mode: 0o644, mtime: 1 })
const BASE = tar(dir('etc/'), file('etc/kept', 'kept'), file('etc/gone', '1'), file('etc/other', '1'), dir('old/'), file('old/a', '1'))
const BASE_0700 = tar({ ...dir('etc/'), mode: 0o700 }, file('etc/kept', 'kept'))
const MIDDLE = tar(dir('etc/'), file('etc/other', '22'), file('.wh.old', ''))
const TOP = tar(dir('etc/'), file('etc/.wh.gone', ''), file('etc/new', 'new'), dir('opt/'), file('opt/b', '1'))

async function load(runtime: Runtime, name: string, ...layers: Buffer[]): Promise<Image> {
  const path = join(directory(), 'image.tar')
  writeFileSync(path, tarImage(name, layers))
  const [image] = await runtime.images.load(path)
  return image as Image
}

const mounted = (text: string) => readFileSync('/proc/self/mounts', 'utf8').includes(text)
const lines = (changes: readonly { path: string; kind: string }[]) => changes.map(({ path, kind }) => `${kind[0]} ${path}`)

describe('an image that is mounted', () => {
  it('can be read, as its layers make it, and not be written', async () => {
    const runtime = await (await lab.store()).open()
    const image = await load(runtime, 'localhost/three:1', BASE, MIDDLE, TOP)
    const mount = await image.mount()
    expect(readdirSync(mount.path).sort()).toEqual(['etc', 'opt'])
    expect(readdirSync(join(mount.path, 'etc')).sort()).toEqual(['kept', 'new', 'other'])
    expect(readFileSync(join(mount.path, 'etc/other'), 'utf8')).toBe('22')
    expect(() => writeFileSync(join(mount.path, 'etc/kept'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }))
    expect(await runtime.images.mounts()).toEqual([{ imageId: image.id, path: mount.path, ownerPid: process.pid }])
    await mount.unmount()
    await mount.unmount()
    expect([existsSync(mount.path), mounted(mount.path)]).toEqual([false, false])
    expect(await runtime.images.mounts()).toEqual([])
  })

  it('can have one layer, or none', async () => {
    const runtime = await (await lab.store()).open()
    {
      await using mount = await runtime.images.mount(SMALL)
      expect(readFileSync(join(mount.path, 'etc/os-release'), 'utf8')).toContain('ID=small')
      expect(() => writeFileSync(join(mount.path, 'new'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }))
    }
    await using mount = await (await load(runtime, 'localhost/empty:1')).mount()
    expect(readdirSync(mount.path)).toEqual([])
  })

  it('can be mounted several times; each mount ends for itself, and all of them with the runtime', async () => {
    const store = await lab.store()
    const [runtime, other] = [await store.open(), await store.open()]
    const [one, two, foreign] = [await runtime.images.mount(SMALL), await runtime.images.mount(SMALL), await other.images.mount(SMALL)]
    await one.unmount()
    expect(existsSync(join(two.path, 'etc'))).toBe(true)
    await runtime.close()
    expect([existsSync(two.path), existsSync(join(foreign.path, 'etc'))]).toEqual([false, true])
    expect(await failure(runtime.images.mount(SMALL))).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    await foreign.unmount()
  })

  it('is not removed or pruned, unless by force', async () => {
    const runtime = await (await lab.store()).open()
    const image = await load(runtime, 'localhost/one:1', BASE)
    const mount = await image.mount()
    const error = await failure(image.remove())
    expect(error).toMatchObject({ code: 'ERR_IMAGE_IN_USE' })
    expect(error.message).toContain(mount.path.split('/').at(-2))
    expect((await runtime.images.prune({ all: true })).removed.map(({ names }) => names)).toEqual([[SMALL]])
    expect(readFileSync(join(mount.path, 'etc/kept'), 'utf8')).toBe('kept')
    await image.remove({ force: true })
    expect([existsSync(mount.path), mounted(mount.path)]).toEqual([false, false])
    await mount.unmount()
    expect(await failure(image.mount())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })

  it('tells of itself in the events', async () => {
    const runtime = await (await lab.store()).open()
    await (await runtime.images.mount(SMALL)).unmount()
    const seen: unknown[] = []
    for await (const event of runtime.events({ since: 0 })) {
      if (event.type === 'image' && event.action.endsWith('mount')) seen.push([event.action, event.name])
    }
    expect(seen).toEqual([
      ['mount', SMALL],
      ['unmount', SMALL],
    ])
  })

  for (const step of ['mount image: recorded', 'mount image: mounted', undefined]) {
    it(`is unmounted at the next open when its program was killed (${step ?? 'while it was mounted'})`, async () => {
      const store = await lab.store()
      const config = JSON.stringify({ ...store.options, task: { image: SMALL } })
      const child = start('runtime-child.ts', 'mountImage', config, ...(step ? [step] : []))
      expect(await child.line()).toBe('open')
      if (step === undefined) {
        expect(await child.line()).toContain(store.runRoot)
        child.kill('SIGKILL')
      }
      await child.exited
      const runtime = await store.open()
      expect(await runtime.images.mounts()).toEqual([])
      await eventually(() => expect(mounted(`${store.runRoot}/mounts`)).toBe(false))
      await runtime.images.remove(SMALL)
    })
  }

  testNeeding(ROOTLESS_NEEDS, 'can be read without privilege, through the namespace of the runtime', async () => {
    const session = rootless().user.session()
    await session.call('open', rootless().options)
    await session.call('pull', rootless().small)
    const { path, texts, written, mounts } = await session.call('readMounted', rootless().small, ['etc/os-release'])
    expect(path).toMatch(/^\/proc\/\d+\/root\//)
    expect({ texts, written }).toEqual({ texts: [expect.stringContaining('ID=small')], written: 'EROFS' })
    expect(mounts).toMatchObject([{ path }])
    expect(await session.call('mountsAfter')).toEqual([])
    await session.call('removeImage', rootless().small)
    await session.call('close')
    await session.end()
  })
})

describe('a diff', () => {
  it('tells what the uppermost layer changes, and in what two images differ', async () => {
    const runtime = await (await lab.store()).open()
    const three = await load(runtime, 'localhost/three:1', BASE, MIDDLE, TOP)
    const two = await load(runtime, 'localhost/two:1', BASE, MIDDLE)
    const topmost = ['c /etc', 'd /etc/gone', 'a /etc/new', 'a /opt', 'a /opt/b']
    expect(lines(await three.diff())).toEqual(topmost)
    expect(lines(await runtime.images.diff('three:1', { from: 'two:1' }))).toEqual(topmost)
    expect(lines(await two.diff({ from: three }))).toEqual(['c /etc', 'a /etc/gone', 'd /etc/new', 'd /opt'])
    expect(lines(await two.diff())).toEqual(['c /etc/other', 'd /old'])
    expect(lines(await (await load(runtime, 'localhost/base:1', BASE)).diff())).toContain('a /etc/kept')
    expect(await two.diff({ from: two })).toEqual([])
    const implied = await load(runtime, 'localhost/implied:1', BASE_0700, tar(file('etc/one', '1')), tar(file('etc/kept', '22')))
    expect(lines(await implied.diff())).toEqual(['c /etc/kept'])
    expect(lines(await implied.diff({ from: await load(runtime, 'localhost/0700:1', BASE_0700) }))).toEqual([
      'c /etc',
      'c /etc/kept',
      'a /etc/one',
    ])
    expect(await failure(two.diff({ from: 'nothing' }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })

  testNeeding([...RUNTIME_NEEDS, 'podman'], 'tells what podman tells', async () => {
    const runtime = await (await lab.store()).open()
    const image = await load(runtime, 'localhost/three:1', BASE, MIDDLE, TOP)
    const archive = join(directory(), 'a.tar')
    await image.save({ path: archive, format: 'docker-archive' })
    await using podman = await openPodman({ ociRuntime: 'crun' })
    await podman.run('load', '--quiet', '--input', archive)
    const told = (await podman.output('image', 'diff', 'localhost/three:1')).trim().split('\n')
    const kinds = { A: 'a', C: 'c', D: 'd' } as const
    expect(lines(await image.diff())).toEqual(
      told.map((line) => `${kinds[line[0] as 'A']}${line.slice(1)}`).sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)),
    )
  })
})

describe('a tree', () => {
  it('tells which images share a layer', async () => {
    const runtime = await (await lab.store()).open()
    const three = await load(runtime, 'localhost/three:1', BASE, MIDDLE, TOP)
    await (await load(runtime, 'localhost/two:1', BASE, MIDDLE)).tag('localhost/two:2')
    const nameless = await load(runtime, 'localhost/base:1', BASE)
    await nameless.untag()
    const shared = ['localhost/two:1', 'localhost/two:2']
    expect((await three.tree()).map(({ sharedWith, sizeBytes }) => ({ sharedWith, sizeBytes }))).toEqual([
      { sharedWith: [nameless.id, ...shared].sort(), sizeBytes: BASE.length },
      { sharedWith: shared, sizeBytes: MIDDLE.length },
      { sharedWith: [], sizeBytes: TOP.length },
    ])
  })
})
