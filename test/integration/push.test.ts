import { readFileSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { PushProgress, Runtime } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { openPodman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { collect, failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

/* Images of the store, pushed to real registries and read from there by podman and skopeo. */

const lab = runtimeLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work)
const BOB = { username: 'bob', password: 'hunter2' }
/** bob and his password, as docker-registry wants it: bcrypt. */
const HTPASSWD = 'bob:$2y$05$podlibpodlibpodlibpodeZRh0FUFdwFguX1XA8JXUzZ2rM7kyuqm\n'
let registry: DockerRegistry

beforeAll(async () => {
  if (lacking(RUNTIME_NEEDS).length > 0) return
  registry = await startDockerRegistry()
}, 30_000)
afterAll(async () => registry?.[Symbol.asyncDispose]())

interface Inspected {
  readonly digest: string
  readonly mediaType: string
  readonly config: string
  readonly layerTypes: readonly string[]
}

async function inspect(name: string): Promise<Inspected> {
  const raw = await outputOf('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`])
  const digest = (await outputOf('skopeo', ['inspect', '--format', '{{.Digest}}', '--tls-verify=false', `docker://${name}`])).trim()
  const manifest = JSON.parse(raw) as { mediaType: string; config: { digest: string }; layers: { mediaType: string }[] }
  return {
    digest,
    mediaType: manifest.mediaType,
    config: manifest.config.digest,
    layerTypes: manifest.layers.map(({ mediaType }) => mediaType),
  }
}

async function pullPushed(...flags: string[]): Promise<{ runtime: Runtime; name: string }> {
  const layout = join(directory(), 'layout')
  await writeSmallImage(layout)
  const name = `${registry.host}/small${flags.length}:1`
  await runProgram('skopeo', [
    ...['copy', '--quiet', '--insecure-policy', '--dest-tls-verify=false', ...flags],
    ...[`oci:${layout}:latest`, `docker://${name}`],
  ])
  const runtime = await (await lab.emptyStore({ insecureRegistries: [registry.host] })).open()
  await runtime.images.pull(name)
  return { runtime, name }
}

describe('an image whose layers the registry has', () => {
  it('goes to another repository byte for byte, its layers mounted, and is read by skopeo and podman', async () => {
    const { runtime, name } = await pullPushed()
    const before = await inspect(name)
    const target = `${registry.host}/team/other:2`
    const seen: PushProgress[] = []
    const pushing = runtime.images.push(name, target)
    for await (const progress of pushing) seen.push(progress)
    const pushed = await pushing
    const { id } = await runtime.images.get(name)
    expect(pushed).toEqual({
      ...{ id, destination: target, manifestDigest: before.digest, verbatim: true },
      ...{ layers: { uploaded: 0, mounted: 1, present: 0 }, signatures: 0 },
    })
    expect(seen.map(({ phase }) => phase)).toEqual(expect.arrayContaining(['mounted', 'publish']))
    expect(await inspect(target)).toEqual(before)
    // A second time nothing is left to do.
    expect(await runtime.images.push(name, `docker://${target}`)).toMatchObject({ layers: { present: 1 }, verbatim: true })
    expect((await collect(runtime.events({ filter: { actions: ['push'] } }))).map((event) => event.name)).toEqual([target, target])
    await using podman = await openPodman({ ociRuntime: 'crun' })
    await podman.run('pull', '--quiet', '--tls-verify=false', target)
    expect((await podman.output('image', 'inspect', '--format', '{{.Id}}', target)).trim()).toBe(id)
  })

  it('stays what it is when it is one of Docker', async () => {
    const { runtime, name } = await pullPushed('--format=v2s2')
    const before = await inspect(name)
    expect(before.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
    const pushed = await runtime.images.push(name, `${registry.host}/docker:1`)
    expect(pushed).toMatchObject({ verbatim: true, manifestDigest: before.digest })
    // Asked for the other format it gets a new manifest, of the same blobs.
    const oci = await runtime.images.push(name, `${registry.host}/docker:oci`, { format: 'oci' })
    expect(oci).toMatchObject({ verbatim: false, layers: { present: 1 } })
    expect(await inspect(`${registry.host}/docker:oci`)).toMatchObject({
      ...{ mediaType: 'application/vnd.oci.image.manifest.v1+json', config: before.config },
      layerTypes: ['application/vnd.oci.image.layer.v1.tar+gzip'],
    })
  })
})

describe('an image whose layers the registry has not', () => {
  const cases = [
    [{}, 'oci', 'application/vnd.oci.image.layer.v1.tar+gzip'],
    [{ compression: 'zstd' }, 'oci', 'application/vnd.oci.image.layer.v1.tar+zstd'],
    [{ compression: 'none' }, 'oci', 'application/vnd.oci.image.layer.v1.tar'],
    [{ format: 'v2s2' }, 'docker', 'application/vnd.docker.image.rootfs.diff.tar.gzip'],
  ] as const

  it('is compressed anew, always the same way, and keeps its ID', async () => {
    const runtime = await (await lab.store({ insecureRegistries: [registry.host] })).open()
    const { id } = await runtime.images.get(SMALL)
    await using podman = await openPodman({ ociRuntime: 'crun' })
    for (const [position, [options, family, layerType]] of cases.entries()) {
      const target = `${registry.host}/new/image${position}:1`
      const pushed = await runtime.images.push(SMALL, target, options)
      expect(pushed).toMatchObject({ id, destination: target, layers: { uploaded: 1, mounted: 0, present: 0 } })
      const found = await inspect(target)
      expect(found).toMatchObject({ digest: pushed.manifestDigest, config: `sha256:${id}`, layerTypes: [layerType] })
      expect(found.mediaType).toContain(family)
      await podman.run('pull', '--quiet', '--tls-verify=false', target)
      expect((await podman.output('image', 'inspect', '--format', '{{.Id}}', target)).trim()).toBe(id)
      // What it was pushed as is known now: nothing is compressed.
      const phases: string[] = []
      const again = runtime.images.push(SMALL, target, options)
      for await (const { phase } of again) phases.push(phase)
      expect(await again).toMatchObject({ manifestDigest: pushed.manifestDigest, layers: { present: 1 } })
      expect(phases).not.toContain('compress')
    }
    expect(await failure(runtime.images.push(SMALL, `${registry.host}/x`, { format: 'v2s2', compression: 'zstd' }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  })

  it('goes to files and daemons too', async () => {
    const path = directory()
    const runtime = await (await lab.store()).open()
    const image = await runtime.images.get(SMALL)
    for (const to of ['oci:o:v1', 'oci-archive:a.tar:v1', 'docker-archive:d.tar:team/app:1', 'dir:d']) {
      const [transport, ...rest] = to.split(':')
      const pushed = await image.push(`${transport}:${path}/${rest.join(':')}`)
      expect(pushed).toMatchObject({ id: image.id, layers: { uploaded: 1 } })
      const place = to.startsWith('docker-archive')
        ? `${transport}:${path}/d.tar:docker.io/team/app:1`
        : `${transport}:${path}/${rest.join(':')}`
      expect(pushed.destination).toBe(place)
      const text = await outputOf('skopeo', ['inspect', '--config', '--raw', place])
      expect(JSON.parse(text)).toMatchObject({ os: 'linux' })
      expect((await runtime.images.pull(place)).id).toBe(image.id)
    }
    expect(await failure(runtime.images.push(SMALL, 'containers-storage:x'))).toMatchObject({ code: 'ERR_TRANSPORT' })
    expect(await failure(runtime.images.push(SMALL, 'app:1'))).toMatchObject({ code: 'ERR_SHORT_NAME' })
    expect(await failure(runtime.images.push(image.id))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect((await readdir(path)).sort()).toEqual(['a.tar', 'd', 'd.tar', 'o'])
    expect(readFileSync(join(path, 'o/index.json'), 'utf8')).toContain('"org.opencontainers.image.ref.name":"v1"')
  })
})

describe('a push that does not succeed', () => {
  it('leaves no tag when it is aborted', async () => {
    const runtime = await (await lab.store({ insecureRegistries: [registry.host] })).open()
    const target = `${registry.host}/aborted:1`
    const abort = new AbortController()
    const pushing = runtime.images.push(SMALL, target, { signal: abort.signal })
    const reason = new Error('enough')
    await failure(
      (async () => {
        for await (const { phase } of pushing) if (phase === 'compress') abort.abort(reason)
      })(),
    )
    expect(await failure(pushing)).toBe(reason)
    expect(await failure(runtime.images.pull(target))).toMatchObject({ kind: 'not-found' })
  })

  it('says that the registry wants a credential, and succeeds with one', async () => {
    const path = directory()
    await writeFile(join(path, 'htpasswd'), HTPASSWD)
    await using closed = await startDockerRegistry({ configuration: `auth:\n  htpasswd:\n    realm: test\n    path: ${path}/htpasswd\n` })
    const runtime = await (await lab.store({ insecureRegistries: [closed.host] })).open()
    const target = `${closed.host}/app:1`
    expect(await failure(runtime.images.push(SMALL, target))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    expect(await runtime.images.push(SMALL, target, { credential: BOB })).toMatchObject({ destination: target })
  })
})
