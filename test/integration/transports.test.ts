import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Image, Runtime } from '../../src/index.ts'
import { debianTar } from '../helpers/debian-tar.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { ODD_LAYERS } from '../helpers/odd-layers.ts'
import { openPodman, type Podman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, type RuntimeStore, runtimeLab } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()
const directory = temporaryDirectories()
const NAME = 'docker.io/library/small:1'

const copy = (from: string, to: string, ...flags: string[]) =>
  runProgram('skopeo', ['copy', '--quiet', '--insecure-policy', ...flags, from, to])
const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** The ID of the only image of a layout that a foreign tool wrote. */
function layoutId(layout: string): string {
  const blob = (digest: string) => readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8')
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  return (JSON.parse(blob(manifests[0]?.digest ?? '')) as { config: { digest: string } }).config.digest.slice(7)
}

async function emptyRuntime(): Promise<Runtime & { readonly store: RuntimeStore }> {
  const store = await lab.emptyStore()
  return Object.assign(await store.open(), { store })
}

async function expectSmall(runtime: Runtime, image: Image, id: string): Promise<void> {
  expect(image.id).toBe(id)
  expect(await runtime.run(image, ['cat', '/etc/os-release'])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('ID=small') })
  expect((await image.inspect()).chainId).toMatch(/^sha256:/)
}

describe('images of other tools', () => {
  const needs = [...RUNTIME_NEEDS]

  testNeeding(needs, 'are read from everything that skopeo writes, compressed or not, by path, stream and transport', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const from = `oci:${path}/layout:latest`
    for (const to of ['oci-archive:o.tar:v1', 'docker-archive:d.tar:small:1', 'dir:dir', 'oci:oci:v2']) {
      const [transport, ...rest] = to.split(':')
      await copy(from, `${transport}:${path}/${rest.join(':')}`)
    }
    await runProgram('gzip', ['-k', join(path, 'o.tar')])
    await runProgram('zstd', ['-q', join(path, 'd.tar')])
    const runtime = await emptyRuntime()
    const id = layoutId(join(path, 'layout'))
    const places = ['layout', 'o.tar', 'd.tar', 'dir', 'oci', 'o.tar.gz', 'd.tar.zst'].map((name) => join(path, name))
    const texts = [
      `oci:${path}/oci:v2`,
      `oci-archive:${path}/o.tar:v1`,
      `docker-archive:${path}/d.tar:small:1`,
      `docker-archive:${path}/d.tar:@0`,
      `dir:${path}/dir`,
    ]
    for (const place of [...places, ...texts]) {
      const loaded = await runtime.images.load(place)
      expect(loaded).toHaveLength(1)
      await expectSmall(runtime, loaded[0] as Image, id)
      await runtime.images.remove(id, { force: true })
    }
    const [streamed] = await runtime.images.load(createReadStream(join(path, 'o.tar.gz')))
    await expectSmall(runtime, streamed as Image, id)
    const pulled = await runtime.images.pull(`oci:${path}/oci:v2`, { names: ['here:2'] })
    expect((await pulled.inspect()).names).toEqual(['localhost/here:2'])
    expect(readdirSync(join(runtime.store.root, 'staging'))).toEqual([])
  })

  testNeeding([...needs, 'buildah'], 'are read from what buildah commits', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    await copy(`oci:${path}/layout:latest`, `docker-archive:${path}/d.tar:small:1`)
    const buildah = ['--root', join(path, 'root'), '--runroot', join(path, 'run'), '--storage-driver', 'vfs']
    const container = (await outputOf('buildah', [...buildah, 'from', `docker-archive:${path}/d.tar:small:1`])).trim()
    writeFileSync(join(path, 'file'), 'built')
    await runProgram('buildah', [...buildah, 'copy', container, join(path, 'file'), '/built'])
    await runProgram('buildah', [...buildah, 'config', '--label', 'by=buildah', '--cmd', 'cat /built', container])
    const runtime = await emptyRuntime()
    for (const [format, to] of [
      ['oci', 'oci-archive'],
      ['docker', 'docker-archive'],
    ] as const) {
      await runProgram('buildah', [...buildah, 'commit', '--quiet', '--format', format, container, `${to}:${path}/${to}:built:1`])
      const [image] = await runtime.images.load(join(path, to), { names: [`built:${format}`] })
      expect(await runtime.run(image as Image, ['cat', '/built'])).toMatchObject({ stdout: 'built' })
      expect(await image?.inspect()).toMatchObject({ labels: { by: 'buildah' }, names: [`localhost/built:${format}`] })
      expect((await image?.inspect())?.layers).toHaveLength(2)
    }
  })

  testNeeding([...needs, 'umoci'], 'are read from a layout that umoci changed', async () => {
    const path = directory()
    const layout = join(path, 'layout')
    await writeSmallImage(layout)
    writeFileSync(join(path, 'file'), 'inserted')
    await runProgram('umoci', ['insert', '--image', `${layout}:latest`, '--tag', 'more', join(path, 'file'), '/inserted'])
    await runProgram('umoci', ['config', '--image', `${layout}:more`, '--config.label', 'by=umoci'])
    const runtime = await emptyRuntime()
    expect(await failure(runtime.images.pull(`oci:${layout}`))).toMatchObject({ code: 'ERR_IMAGE_AMBIGUOUS' })
    const image = await runtime.images.pull(`oci:${layout}:more`)
    expect(await runtime.run(image, ['cat', '/inserted'])).toMatchObject({ stdout: 'inserted' })
    const all = await runtime.images.load(layout)
    expect(all.map(({ id }) => id)).toHaveLength(2)
    expect((await runtime.images.list({ labels: { by: 'umoci' } })).map(({ id }) => id)).toEqual([image.id])
  })

  testNeeding([...needs, 'podman'], 'are read from a daemon that speaks as Docker does', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    await using podman = await openPodman({ ociRuntime: 'crun' })
    await copy(`oci:${path}/layout:latest`, `docker-archive:${path}/d.tar:small:1`)
    await podman.run('load', '--quiet', '--input', join(path, 'd.tar'))
    const id = layoutId(join(path, 'layout'))
    const socket = join(path, 'docker.sock')
    const service = podman.spawn('system', 'service', '--time', '0', `unix://${socket}`)
    try {
      while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20))
      const store = await lab.emptyStore({ env: { ...process.env, DOCKER_HOST: `unix://${socket}` } })
      const runtime = await store.open()
      const image = await runtime.images.pull(`docker-daemon:${NAME}`)
      await expectSmall(runtime, image, id)
      expect(await failure(runtime.images.pull('docker-daemon:localhost/nope:1'))).toMatchObject({ kind: 'not-found' })
    } finally {
      service.kill('SIGTERM')
      await new Promise((resolve) => service.once('exit', resolve))
    }
    const lost = await lab.emptyStore({ env: { ...process.env, DOCKER_HOST: `unix://${socket}` } })
    expect(await failure((await lost.open()).images.pull(`docker-daemon:${NAME}`))).toMatchObject({
      code: 'ERR_DOCKER_DAEMON',
      kind: 'unavailable',
    })
  })
})

describe('what podlib saves', () => {
  const needs = [...RUNTIME_NEEDS, 'podman'] as const
  const formats = ['oci-archive', 'docker-archive', 'oci', 'dir'] as const
  let podman: Podman | undefined

  beforeAll(async () => {
    podman = await openPodman({ ociRuntime: 'crun' })
  })
  afterAll(async () => podman?.[Symbol.asyncDispose]())

  testNeeding(needs, 'is read by skopeo and podman with the same image ID', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const runtime = await emptyRuntime()
    const [image] = await runtime.images.load(join(path, 'layout'), { names: [NAME] })
    for (const format of formats) {
      for (const compression of ['none', 'gzip', 'zstd'] as const) {
        if (format === 'docker-archive' && compression !== 'none') continue
        const target = join(path, `${format}-${compression}`)
        const [saved] = await runtime.images.save('small:1', { format, path: target, compression })
        expect(saved).toMatchObject({ id: image?.id, names: [NAME] })
        await copy(`${format}:${target}`, `oci:${path}/copy-${format}-${compression}:x`)
        const raw = JSON.parse(await outputOf('skopeo', ['inspect', '--raw', `${format}:${target}`])) as { config: { digest: string } }
        expect(raw.config.digest).toBe(`sha256:${image?.id}`)
        if (!format.endsWith('archive')) continue
        await podman?.run('load', '--quiet', '--input', target)
        expect((await podman?.output('images', '--quiet', '--no-trunc', NAME))?.trim()).toBe(`sha256:${image?.id}`)
        await podman?.run('rmi', '--force', NAME)
      }
    }
    expect(readdirSync(join(runtime.store.root, 'staging'))).toEqual([])
    expect(readdirSync(path).filter((name) => name.includes('partial'))).toEqual([])
  })

  testNeeding(needs, 'holds several images, their layers once, in one archive', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    await runProgram('umoci', ['config', '--image', `${path}/layout:latest`, '--tag', 'other', '--config.label', 'a=b'])
    const runtime = await emptyRuntime()
    const first = await runtime.images.pull(`oci:${path}/layout:latest`, { names: ['one:1'] })
    const second = await runtime.images.pull(`oci:${path}/layout:other`, { names: ['two:1'] })
    await first.tag('one:again')
    for (const format of ['oci-archive', 'docker-archive'] as const) {
      const archive = join(path, format)
      await runtime.images.save(['one:1', 'two:1', 'one:again'], { format, path: archive })
      const listing = await outputOf('tar', ['-tf', archive])
      expect(new Set(listing.trim().split('\n')).size).toBe(listing.trim().split('\n').length)
      // podman takes no OCI archive that has more than one entry.
      if (format === 'docker-archive') {
        await podman?.run('load', '--quiet', '--input', archive)
        const known = await podman?.output('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')
        expect(known?.trim().split('\n').sort()).toEqual([
          `localhost/one:1 sha256:${first.id}`,
          `localhost/one:again sha256:${first.id}`,
          `localhost/two:1 sha256:${second.id}`,
        ])
        await podman?.run('rmi', '--all', '--force')
      }
      const other = await emptyRuntime()
      const loaded = await other.images.load(archive)
      expect(loaded.map(({ id }) => id)).toEqual([first.id, second.id])
      expect((await other.images.list()).flatMap(({ names }) => names).sort()).toEqual([
        'localhost/one:1',
        'localhost/one:again',
        'localhost/two:1',
      ])
    }
  })

  testNeeding(needs, 'is added to a layout, where a name moves', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const target = join(path, 'target')
    const runtime = await emptyRuntime()
    await runtime.images.pull(`oci:${path}/layout`, { names: ['one:1', 'two:1'] })
    await runtime.images.save('one:1', { format: 'oci', path: target })
    await runtime.images.save(['two:1', 'one:1'], { format: 'oci', path: target })
    const { manifests } = JSON.parse(readFileSync(join(target, 'index.json'), 'utf8')) as {
      manifests: { annotations: Record<string, string> }[]
    }
    expect(manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name']).sort()).toEqual([
      'localhost/one:1',
      'localhost/two:1',
    ])
    await copy(`oci:${target}:localhost/two:1`, `dir:${path}/out`)
    expect(await failure(runtime.images.save('one:1', { format: 'dir', path: target }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  testNeeding(needs, 'is a stream of the same bytes each time, and leaving it early leaves nothing', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    const runtime = await emptyRuntime()
    await runtime.images.load(join(path, 'layout'), { names: [NAME] })
    await pipeline(runtime.images.saveStream(NAME), createWriteStream(join(path, 'a')))
    await runtime.images.save(NAME, { path: join(path, 'b') })
    expect(hash(readFileSync(join(path, 'a')))).toBe(hash(readFileSync(join(path, 'b'))))
    for (const compression of ['none', 'zstd'] as const) {
      for await (const _ of runtime.images.saveStream(NAME, { compression })) break
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(readdirSync(join(runtime.store.root, 'staging'))).toEqual([])
    const io = join(runtime.store.runRoot, 'io')
    expect(readdirSync(io).flatMap((owner) => readdirSync(join(io, owner)))).toEqual([])
    expect(await failure(pipeline(runtime.images.saveStream('nope:1'), createWriteStream('/dev/null')))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    })
  })

  testNeeding(
    [...needs, 'mmdebstrap'],
    'has the tar of a Debian byte for byte, for podman too',
    async () => {
      const path = directory()
      await writeOciLayout(join(path, 'layout'), { tag: 'debian', layers: [{ tar: await debianTar(), compression: 'zstd' }] })
      const runtime = await emptyRuntime()
      const image = await runtime.images.pull(`oci:${path}/layout:debian`, { names: ['debian:1'] })
      await expectRoundTrip(runtime, image, join(path, 'archive'))
      await podman?.run('load', '--quiet', '--input', join(path, 'archive'))
      expect((await podman?.output('images', '--quiet', '--no-trunc', 'debian:1'))?.trim()).toBe(`sha256:${image.id}`)
      await podman?.run('rmi', '--all', '--force')
    },
    240_000,
  )

  testNeeding(
    needs,
    'has the tar of every odd layer byte for byte',
    async () => {
      const path = directory()
      const tars = Object.values(ODD_LAYERS).map((bytes, index) => {
        writeFileSync(join(path, `odd-${index}.tar`), bytes)
        return join(path, `odd-${index}.tar`)
      })
      await writeOciLayout(join(path, 'layout'), { tag: 'odd', layers: tars.map((tar) => ({ tar, compression: 'none' })) })
      const runtime = await emptyRuntime()
      const image = await runtime.images.pull(`oci:${path}/layout:odd`, { names: ['odd:1'] })
      await expectRoundTrip(runtime, image, join(path, 'archive'))
    },
    240_000,
  )
})

/** Saves an image, loads it into another store, and saves it there again. */
async function expectRoundTrip(runtime: Runtime, image: Image, archive: string): Promise<void> {
  const before = await image.inspect()
  const other = await emptyRuntime()
  for (const format of ['oci-archive', 'docker-archive'] as const) {
    await image.save({ format, path: archive })
    const [again] = await other.images.load(archive)
    const after = await again?.inspect()
    expect(after).toMatchObject({ id: before.id, sizeBytes: before.sizeBytes, names: before.names })
    expect(after?.layers.map(({ diffId }) => diffId)).toEqual(before.layers.map(({ diffId }) => diffId))
    await again?.save({ format, path: `${archive}-again` })
    await runProgram('cmp', [archive, `${archive}-again`])
    await again?.remove()
  }
  expect(await runtime.images.diskUsage()).toMatchObject({ images: [{ id: image.id, inUse: false }] })
}
