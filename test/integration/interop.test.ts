import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import type { Image, Runtime } from '../../src/index.ts'
import { openPodman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { STACKED_LAYERS } from '../helpers/stacked-layers.ts'
import { tarImage } from '../helpers/tar-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { compareTrees, type KnownDifference } from '../helpers/tree-parity.ts'

const lab = runtimeLab()
const directory = temporaryDirectories()
const skopeo = (...args: string[]) => runProgram('skopeo', ['copy', '--quiet', '--insecure-policy', ...args])
const configOf = async (place: string) =>
  (JSON.parse(await outputOf('skopeo', ['inspect', '--raw', place])) as { config: { digest: string } }).config.digest.slice(7)

async function emptyRuntime(): Promise<Runtime> {
  return (await lab.emptyStore()).open()
}

/** Only the lowest of the layers has an entry for the root, and it is as any root: then its time is not kept. */
const ROOT_TIME: KnownDifference = { what: 'mtimeNs', names: (name) => name === '.', why: 'the root has the time of the pull' }

/** A runtime with two images that share a layer: `localhost/one:1`, which is `localhost/one:again` too, and `localhost/two:1`. */
async function twoImages(path: string): Promise<{ readonly runtime: Runtime; readonly one: Image; readonly two: Image }> {
  const layout = join(path, 'layout')
  await writeSmallImage(layout)
  writeFileSync(join(path, 'file'), 'inserted')
  await runProgram('umoci', ['insert', '--image', `${layout}:latest`, '--tag', 'other', join(path, 'file'), '/inserted'])
  const runtime = await emptyRuntime()
  const one = await runtime.images.pull(`oci:${layout}:latest`, { names: ['one:1'] })
  await one.tag('one:again')
  return { runtime, one, two: await runtime.images.pull(`oci:${layout}:other`, { names: ['two:1'] }) }
}

describe('images of podlib', () => {
  testNeeding([...RUNTIME_NEEDS, 'umoci'], 'are found by their names in archives of several, by skopeo', async () => {
    const path = directory()
    const { runtime, one, two } = await twoImages(path)
    for (const format of ['docker-archive', 'oci-archive', 'oci'] as const) {
      const target = join(path, format)
      await runtime.images.save(['one:1', 'one:again', 'two:1'], { format, path: target })
      for (const [name, { id }] of [
        ['localhost/one:1', one],
        ['localhost/one:again', one],
        ['localhost/two:1', two],
      ] as const) {
        // Config first: in an archive of Docker the digest of the manifest is skopeo's own.
        expect([format, name, await configOf(`${format}:${target}:${name}`)]).toEqual([format, name, id])
      }
      const copy = join(path, `${format}-copy`)
      await skopeo(`${format}:${target}:localhost/two:1`, `dir:${copy}`)
      expect((await (await emptyRuntime()).images.load(copy))[0]?.id).toBe(two.id)
    }
  })

  testNeeding([...RUNTIME_NEEDS, 'umoci'], 'are unpacked by umoci to the same tree', async () => {
    const path = directory()
    const runtime = await emptyRuntime()
    const { runtime: _, two } = await twoImages(path)
    await two.save({ format: 'oci', path: join(path, 'saved'), compression: 'gzip' })
    await runProgram('umoci', ['unpack', '--image', `${path}/saved:localhost/two:1`, join(path, 'bundle')])
    const [image] = await runtime.images.load(join(path, 'saved'))
    await using mounted = await (image as Image).mount()
    expect(compareTrees(mounted.path, join(path, 'bundle/rootfs'), [ROOT_TIME])).toEqual({ differences: [], unfounded: [] })
  })

  testNeeding([...RUNTIME_NEEDS, 'umoci'], 'with layers that change, replace and hide are unpacked by umoci to the same tree', async () => {
    const path = directory()
    const runtime = await emptyRuntime()
    writeFileSync(join(path, 'a.tar'), tarImage('localhost/layers:1', STACKED_LAYERS))
    const [image] = await runtime.images.load(join(path, 'a.tar'))
    await image?.save({ format: 'oci', path: join(path, 'saved') })
    await runProgram('umoci', ['unpack', '--image', `${path}/saved:localhost/layers:1`, join(path, 'bundle')])
    await using mounted = await (image as Image).mount()
    const why = 'the names of one file that an upper layer replaces or hides still count, with podman too'
    const links: KnownDifference = { what: 'links', names: (name) => name === 'three', why }
    expect(compareTrees(mounted.path, join(path, 'bundle/rootfs'), [links])).toEqual({ differences: [], unfounded: [] })
  })

  testNeeding([...RUNTIME_NEEDS, 'buildah'], 'are what buildah builds on, and the result comes back', async () => {
    const path = directory()
    await writeSmallImage(join(path, 'layout'))
    writeFileSync(join(path, 'file'), 'copied')
    const runtime = await emptyRuntime()
    const image = await runtime.images.pull(`oci:${path}/layout:latest`, { names: ['one:1'] })
    await image.save({ format: 'oci-archive', path: join(path, 'saved') })
    const buildah = ['--root', join(path, 'root'), '--runroot', join(path, 'run'), '--storage-driver', 'vfs']
    const container = (await outputOf('buildah', [...buildah, 'from', `oci-archive:${path}/saved`])).trim()
    await runProgram('buildah', [...buildah, 'copy', container, join(path, 'file'), '/copied'])
    await runProgram('buildah', [...buildah, 'commit', '--quiet', '--format', 'oci', container, `oci:${path}/committed:v1`])
    const committed = await runtime.images.pull(`oci:${path}/committed:v1`, { names: ['committed:1'] })
    const [below] = (await image.inspect()).layers
    expect((await committed.inspect()).layers).toEqual([expect.objectContaining({ diffId: below?.diffId }), expect.anything()])
    expect(await runtime.run(committed, ['cat', '/copied'])).toMatchObject({ stdout: 'copied' })
  })
})

describe('images of other tools', () => {
  testNeeding([...RUNTIME_NEEDS, 'umoci', 'podman'], 'are read from what podman saves: one, several, in each of its formats', async () => {
    const path = directory()
    const { runtime, one, two } = await twoImages(path)
    await runtime.images.save(['one:1', 'two:1'], { format: 'docker-archive', path: join(path, 'a.tar') })
    await using podman = await openPodman({ ociRuntime: 'crun' })
    await podman.run('load', '--quiet', '--input', join(path, 'a.tar'))
    await podman.run('save', '--quiet', '--multi-image-archive', '--output', join(path, 'both.tar'), 'localhost/one:1', 'localhost/two:1')
    const several = await emptyRuntime()
    expect((await several.images.load(join(path, 'both.tar'))).map(({ id }) => id).sort()).toEqual([one.id, two.id].sort())
    expect((await several.images.list()).flatMap(({ names }) => names).sort()).toEqual(['localhost/one:1', 'localhost/two:1'])
    for (const format of ['docker-archive', 'oci-archive', 'docker-dir', 'oci-dir']) {
      const target = join(path, format)
      await podman.run('save', '--quiet', '--format', format, '--output', target, 'localhost/two:1')
      const other = await emptyRuntime()
      const [loaded] = await other.images.load(target)
      // What podman turns into an OCI image gets another config.
      const expected = format.startsWith('docker') ? two.id : await configOf(format === 'oci-dir' ? `oci:${target}` : `${format}:${target}`)
      expect([format, loaded?.id]).toEqual([format, expected])
      expect(await other.run(loaded as Image, ['cat', '/inserted'])).toMatchObject({ stdout: 'inserted' })
    }
  })

  testNeeding([...RUNTIME_NEEDS, 'umoci'], 'are read from what skopeo compresses anew, and from what umoci packs again', async () => {
    const path = directory()
    const { runtime, two } = await twoImages(path)
    await two.save({ format: 'oci', path: join(path, 'saved') })
    for (const compression of ['gzip', 'zstd']) {
      const target = join(path, compression)
      await skopeo('--dest-compress', '--dest-compress-format', compression, `oci:${path}/saved:localhost/two:1`, `dir:${target}`)
      const other = await emptyRuntime()
      expect((await other.images.load(target))[0]?.id).toBe(two.id)
    }
    await skopeo('--format', 'v2s2', `oci:${path}/saved:localhost/two:1`, `dir:${path}/docker`)
    expect(await (await emptyRuntime()).images.load(join(path, 'docker'))).toHaveLength(1)
    await runProgram('umoci', ['unpack', '--image', `${path}/saved:localhost/two:1`, join(path, 'bundle')])
    const rootfs = join(path, 'bundle/rootfs')
    await runProgram('rm', ['-r', join(rootfs, 'home')])
    mkdirSync(join(rootfs, 'inserted.d'))
    writeFileSync(join(rootfs, 'inserted.d/new'), 'new')
    // umoci writes whole seconds.
    for (const name of ['inserted.d/new', 'inserted.d', '.']) utimesSync(join(rootfs, name), 1_700_000_000, 1_700_000_000)
    await runProgram('umoci', ['repack', '--image', `${path}/saved:again`, join(path, 'bundle')])
    const image = await runtime.images.pull(`oci:${path}/saved:again`, { names: ['again:1'] })
    await using mounted = await image.mount()
    expect(compareTrees(mounted.path, rootfs, [ROOT_TIME])).toEqual({ differences: [], unfounded: [] })
    expect(readFileSync(join(mounted.path, 'inserted.d/new'), 'utf8')).toBe('new')
  })
})
