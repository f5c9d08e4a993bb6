import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { PullProgress, Runtime } from '../../src/index.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { startFakeRegistry } from '../helpers/fake-registry.ts'
import type { FakeRegistry } from '../helpers/fake-registry-types.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { fifos } from '../helpers/runtime-traces.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding([...RUNTIME_NEEDS, 'zstd'], name, work)

describe('images of a docker-registry', () => {
  let registry: DockerRegistry
  let store: RuntimeStore
  let runtime: Runtime
  let name: string

  beforeAll(async () => {
    registry = await startDockerRegistry()
    store = await lab.emptyStore({ insecureRegistries: [registry.host] })
    runtime = await store.open()
    name = `${registry.host}/small:latest`
    const layout = join(store.directory, 'layout')
    await writeSmallImage(layout)
    await registry.push(layout, 'latest', 'small:latest')
  })
  afterAll(async () => registry[Symbol.asyncDispose]())

  const progressOf = async (image: string) => {
    const seen: PullProgress[] = []
    const pull = runtime.images.pull(image)
    for await (const progress of pull) seen.push(progress)
    return { seen, image: await pull }
  }

  it('tell while they come what is at hand, and come once', async () => {
    const first = await progressOf(name)
    const phases = [...new Set(first.seen.map(({ phase }) => phase))]
    expect(phases.filter((phase) => phase !== 'download')).toEqual(['resolve', 'manifest', 'verify', 'ready', 'commit'])
    const ready = first.seen.find(({ phase }) => phase === 'ready')
    expect(ready).toMatchObject({ layer: expect.stringMatching(/^sha256:/), bytes: expect.any(Number), unpackedBytes: expect.any(Number) })
    if (ready && 'bytes' in ready) expect(ready.bytes).toBe(ready.totalBytes)
    const second = await progressOf(name)
    expect(second.seen.map(({ phase }) => phase)).toEqual(['resolve', 'manifest', 'verify', 'exists', 'commit'])
    expect(second.image.id).toBe(first.image.id)
    expect(await runtime.images.list()).toHaveLength(1)
  })

  it('are told by name, short name, digest and id, and inspected', async () => {
    const image = await runtime.images.pull(name)
    const info = await image.inspect()
    expect(info).toMatchObject({
      id: image.id,
      names: [name],
      platform: expect.stringMatching(/^linux\//),
      config: { config: { Cmd: ['sh'] } },
    })
    expect(info.layers).toHaveLength(1)
    expect(info.digests).toEqual([expect.stringContaining(`${registry.host}/small@sha256:`)])
    const [digest = ''] = info.digests
    for (const given of [name, 'small', 'small:latest', digest, image.id, image.id.slice(0, 12)])
      expect((await runtime.images.get(given)).id).toBe(image.id)
    expect(await failure(runtime.images.get('smaller'))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND', kind: 'not-found' })
    expect(await runtime.images.find('smaller')).toBeUndefined()
    expect(await runtime.images.list()).toMatchObject([{ id: image.id, names: [name], sizeBytes: expect.any(Number) }])
  })

  it('take and lose names; the last one goes with the image', async () => {
    const image = await runtime.images.pull(name)
    expect(await image.tag('mine')).toBe('localhost/mine:latest')
    expect(await runtime.images.tag(name, 'example.com/team/app:v2')).toBe('example.com/team/app:v2')
    expect((await runtime.images.get('mine')).id).toBe(image.id)
    expect(await failure(image.tag('not a name'))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' })
    expect(await failure(runtime.images.remove(image.id))).toMatchObject({ code: 'ERR_IMAGE_IN_USE' })
    expect(await runtime.images.remove('mine')).toEqual({ untagged: ['localhost/mine:latest'], removed: false })
    await image.untag('example.com/team/app:v2')
    expect(await failure(image.untag('example.com/team/app:v2'))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect((await image.inspect()).names).toEqual([name])
    expect(await runtime.images.remove(name)).toMatchObject({ untagged: [name], removed: true })
    expect(await failure(image.inspect())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect(await runtime.images.list()).toEqual([])
  })

  it('move a name to the image that was pulled last, and keep the other by its id', async () => {
    const old = await runtime.images.pull(name)
    const layout = join(store.directory, 'other')
    const path = join(store.directory, 'other.tar')
    await runProgram('sh', [
      '-c',
      `mkdir -p ${store.directory}/tree && echo new > ${store.directory}/tree/new && tar -C ${store.directory}/tree -cf ${path} .`,
    ])
    await writeOciLayout(layout, { tag: 'latest', run: {}, layers: [{ tar: path, compression: 'gzip' }] })
    await registry.push(layout, 'latest', 'small:latest')
    const fresh = await runtime.images.pull(name)
    expect(fresh.id).not.toBe(old.id)
    expect((await runtime.images.get(name)).id).toBe(fresh.id)
    expect((await old.inspect()).names).toEqual([])
    expect(await runtime.images.remove(old.id)).toMatchObject({ removed: true })
    expect(await fresh.remove()).toMatchObject({ removed: true })
  })

  it('come the same whatever their layers are compressed with, and share them', async () => {
    const paths = await Promise.all(
      ['one', 'two', 'three'].map(async (word) => {
        const path = join(store.directory, `${word}.tar`)
        await runProgram('sh', [
          '-c',
          `mkdir -p ${store.directory}/${word} && echo ${word} > ${store.directory}/${word}/${word} && tar -C ${store.directory}/${word} -cf ${path} .`,
        ])
        return path
      }),
    )
    const ids = new Set<string>()
    for (const compression of ['gzip', 'zstd', 'none'] as const) {
      const layout = join(store.directory, compression)
      await writeOciLayout(layout, { tag: 'latest', run: {}, layers: paths.map((path) => ({ tar: path, compression })) })
      await registry.push(layout, 'latest', `three:${compression}`)
      const { image, seen } = await progressOf(`${registry.host}/three:${compression}`)
      ids.add(image.id)
      if (compression !== 'gzip') expect(seen.filter(({ phase }) => phase === 'exists')).toHaveLength(3)
    }
    // The config is the same, so it is one image of three names.
    expect(ids.size).toBe(1)
    const [id = ''] = ids
    expect((await runtime.images.inspect(id)).names).toHaveLength(3)
    expect(await runtime.images.remove(id, { force: true })).toMatchObject({ removed: true })
  })

  it('come when a container is made of one that is missing, or as the pull policy says', async () => {
    const { containers, images } = runtime
    const layout = join(store.directory, 'again')
    await writeSmallImage(layout)
    await registry.push(layout, 'latest', 'small:latest')
    expect(await images.list()).toEqual([])
    expect(await failure(containers.create({ image: name, pull: 'never' }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect(await failure(containers.create({ image: { id: '0'.repeat(64) } }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
    expect(await failure(containers.create({ image: name, pull: 'sometimes' as never }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(await failure(containers.create({ image: 5 as never }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    const reason = new Error('never mind')
    for (const verb of [containers.create, containers.run])
      await expect(verb.call(containers, { image: name }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    // Nothing is fetched for a container that cannot be.
    expect(await failure(containers.create({ image: name, memory: 'lots', nmae: 'x' } as never))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    expect(await images.list()).toEqual([])

    const created = await containers.create({ image: name })
    expect(await created.inspect()).toMatchObject({ status: 'configured', imageName: name })
    const running = await containers.run({ image: name, command: ['sleep', '1000'], pull: 'newer' })
    expect((await running.inspect()).imageId).toBe((await created.inspect()).imageId)
    for (const container of [created, running]) await container.remove({ force: true })
    await images.remove(name)
  })
})

describe('images of several platforms', () => {
  let registry: FakeRegistry
  let runtime: Runtime
  const own = process.arch === 'x64' ? 'amd64' : process.arch

  beforeAll(async () => {
    registry = await startFakeRegistry()
    runtime = await (await lab.emptyStore({ insecureRegistries: [registry.host] })).open()
  })
  afterAll(() => registry.close())

  it('give the one for this machine, or for the platform that is named, from one index', async () => {
    const entries = [own, 's390x', 'riscv64'].map((architecture) => {
      const { descriptor, layers } = registry.addImage('multi', {
        layers: [tar({ name: architecture, content: architecture })],
        config: { architecture },
      })
      return { architecture, layers, entry: { ...descriptor, platform: { os: 'linux', architecture } } }
    })
    const index = registry.addIndex(
      'multi',
      entries.map(({ entry }) => entry),
      { tag: 'v1' },
    )
    const name = `${registry.host}/multi:v1`
    const image = await runtime.images.pull(name)
    expect(await image.inspect()).toMatchObject({ platform: `linux/${own}`, manifests: [{ indexDigest: index.digest }] })
    for (const { layers, architecture } of entries)
      expect(registry.requests.filter(({ path }) => path.includes(layers[0]?.digest ?? '')).length).toBe(architecture === own ? 1 : 0)
    const foreign = await runtime.images.pull(name, { platform: 'linux/s390x' })
    expect(await foreign.inspect()).toMatchObject({ platform: 'linux/s390x' })
    // One name for both: each is found for its platform.
    expect((await runtime.images.get(name)).id).toBe(image.id)
    expect((await runtime.images.get(name, { platform: 'linux/s390x' })).id).toBe(foreign.id)
    expect(await failure(runtime.images.pull(name, { platform: 'linux/mips' }))).toMatchObject({ code: 'ERR_PLATFORM_MISMATCH' })
    for (const { id } of await runtime.images.list()) await runtime.images.remove(id, { force: true })
  })

  it('come as Docker writes them too: schema 2 manifests, and a list of them', async () => {
    const docker = 'application/vnd.docker.distribution.manifest'
    const bytes = gzipSync(tar({ name: 'docker', content: 'docker' }))
    const layer = registry.addBlob(bytes, 'application/vnd.docker.image.rootfs.diff.tar.gzip')
    const { config } = registry.addImage('plain', { layers: [{ bytes, diffId: digestOf(gunzipSync(bytes)) }] })
    const image = {
      schemaVersion: 2,
      mediaType: `${docker}.v2+json`,
      config: { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' },
      layers: [layer],
    }
    const entry = registry.addManifest('docker', image, { mediaType: image.mediaType, tag: 'one' })
    const list = {
      schemaVersion: 2,
      mediaType: `${docker}.list.v2+json`,
      manifests: [{ ...entry, platform: { os: 'linux', architecture: own } }],
    }
    registry.addManifest('docker', list, { mediaType: list.mediaType, tag: 'list' })
    const [one, fromList] = [
      await runtime.images.pull(`${registry.host}/docker:one`),
      await runtime.images.pull(`${registry.host}/docker:list`),
    ]
    expect(fromList.id).toBe(one.id)
    expect(await one.inspect()).toMatchObject({ layers: [{ diffId: digestOf(gunzipSync(bytes)) }] })
    await one.remove({ force: true })
  })

  it('fetch several layers at a time', async () => {
    const { layers } = registry.addImage('wide', { tag: 'v1', layers: ['a', 'b', 'c', 'd'].map((name) => tar({ name, content: name })) })
    let now = 0
    let most = 0
    for (const { digest } of layers) {
      const count = () => {
        most = Math.max(most, ++now)
        setTimeout(() => now--, 200)
      }
      registry.fault(new RegExp(digest), {
        delayMs: 200,
        get noLength() {
          count()
          return false
        },
      })
    }
    await runtime.images.pull(`${registry.host}/wide:v1`)
    expect(most).toBeGreaterThan(1)
    await runtime.images.remove(`${registry.host}/wide:v1`)
  })

  it('share a layer that two pulls want at the same time', async () => {
    const shared = tar({ name: 'shared', content: 'shared'.repeat(1000) })
    const images = ['one', 'two', 'three'].map((word) => registry.addImage(word, { tag: 'v1', layers: [shared, tar({ name: word })] }))
    const digest = images[0]?.layers[0]?.digest ?? ''
    registry.fault(new RegExp(digest), { delayMs: 200 })
    await Promise.all(['one', 'two', 'three'].map((word) => runtime.images.pull(`${registry.host}/${word}:v1`)))
    expect(registry.requests.filter(({ path }) => path.includes(digest))).toHaveLength(1)
    await Promise.all(['one', 'two'].map((word) => runtime.images.remove(`${registry.host}/${word}:v1`)))
    expect((await runtime.images.inspect(`${registry.host}/three:v1`)).layers).toHaveLength(2)
    await runtime.images.remove(`${registry.host}/three:v1`)
  })

  it('survive being pulled and removed at the same time, again and again', async () => {
    const name = `${registry.host}/contested:v1`
    registry.addImage('contested', { tag: 'v1', layers: ['x', 'y'].map((word) => tar({ name: word, content: word.repeat(5000) })) })
    const ignoring = (code: string) => (error: { code?: string }) => {
      if (error.code !== code) throw error
    }
    for (let turn = 0; turn < 15; turn++) {
      await Promise.all([
        runtime.images.pull(name).then(
          () => {},
          (error: { code?: string }) => expect(error.code).toBe('ERR_LAYER_NOT_FOUND'),
        ),
        runtime.images.remove(name).then(() => {}, ignoring('ERR_IMAGE_NOT_FOUND')),
        runtime.images.pull(name).then(
          () => {},
          (error: { code?: string }) => expect(error.code).toBe('ERR_LAYER_NOT_FOUND'),
        ),
      ])
    }
    const image = await runtime.images.pull(name)
    expect((await image.inspect()).layers).toHaveLength(2)
    await runtime.images.remove(name)
  })
})

describe('closing a runtime', () => {
  it('ends a pull that is under way, and leaves nothing of it', async () => {
    const registry = await startFakeRegistry()
    try {
      const { layers } = registry.addImage('slow', { tag: 'v1', layers: [tar({ name: 'a', content: 'a'.repeat(100_000) })] })
      registry.fault(new RegExp(layers[0]?.digest ?? ''), { stallAfter: 10_000 })
      const store = await lab.emptyStore({ insecureRegistries: [registry.host] })
      const runtime = await store.open()
      const pull = failure(runtime.images.pull(`${registry.host}/slow:v1`))
      await eventually(() => expect(registry.requests.filter(({ path }) => path.includes('/blobs/'))).toHaveLength(2))
      await runtime.close()
      expect(await pull).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
      expect(fifos(store)).toEqual([])
      await store.expectNothingLeaked()
    } finally {
      await registry.close()
    }
  })

  for (const monitor of [false, true]) {
    it(`ends a one-shot container and removes it [${monitor ? 'monitor' : 'attached'}]`, async () => {
      const store = await lab.store()
      const runtime = await store.open()
      const run = failure(runtime.run(SMALL, ['sleep', '1000'], { monitor }))
      await eventually(async () => expect((await runtime.containers.list())[0]).toMatchObject({ status: 'running' }))
      await runtime.close()
      expect(await run).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
      await store.expectNothingLeaked()
      expect(await (await store.open()).containers.list()).toEqual([])
    })
  }

  it('ends what was spawned, and whoever waits; containers run on', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const container = await runtime.containers.run({ image: SMALL, command: ['sleep', '1000'], name: 'runs-on' })
    const process = await container.spawn(['sleep', '2000'])
    const [spawned, waiting, stopping] = [
      failure(process.wait()),
      failure(container.wait()),
      failure(container.stop({ timeoutMs: 60_000 })),
    ]
    const log = (async () => {
      for await (const _ of container.logs({ follow: true }));
    })()
    await eventually(async () => expect(await container.inspect()).toMatchObject({ status: 'stopping' }))
    await runtime.close()
    expect((await spawned).code).toMatch(/^ERR_(RUNTIME_CLOSED|HOST_WORKER_DIED)$/)
    for (const error of [await waiting, await stopping]) expect(error).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    await log
    const again = await (await store.open()).containers.get('runs-on')
    expect(await again.inspect()).toMatchObject({ status: 'stopping' })
    expect((await again.exec(['true']).catch((error: unknown) => error)) as object).toMatchObject({ code: 'ERR_CONTAINER_STATE' })
    await again.stop({ timeoutMs: 0 })
    expect(await again.inspect()).toMatchObject({ status: 'exited' })
  })
})
