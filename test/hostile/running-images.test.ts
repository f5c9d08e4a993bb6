import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { beforeAll, describe, expect } from '@jest/globals'
import type { Image, Runtime, RuntimeOptions } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { failure } from '../helpers/registry-world.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { tarImage } from '../helpers/tar-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { treeFacts } from '../helpers/tree-listing.ts'

const lab = runtimeLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(RUNTIME_NEEDS, name, work, 20_000)
const folder = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const link = (name: string, linkName: string): TarBlock => ({ name, type: '2', linkName })
let busybox: Buffer
/** Climbs from any directory to the root of the host. */
const UP = '../'.repeat(30)

beforeAll(() => {
  if (lacking(RUNTIME_NEEDS).length === 0)
    busybox = readFileSync(execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim())
})

interface Opened {
  readonly runtime: Runtime
  /** An image with a shell and whatever else. */
  image(blocks: readonly TarBlock[], run?: object): Promise<Image>
}

async function open(options: RuntimeOptions = {}): Promise<Opened> {
  const runtime = await (await lab.emptyStore(options)).open()
  const image = async (blocks: readonly TarBlock[], run: object = {}) => {
    const shell = [
      folder('bin/'),
      { name: 'bin/busybox', mode: 0o755, content: busybox },
      ...['sh', 'cat', 'ls', 'id'].map((name) => link(`bin/${name}`, 'busybox')),
    ]
    const [loaded] = await runtime.images.load(Readable.from([tarImage('localhost/hostile:1', [tar(...shell, ...blocks)], run)]), {
      names: [],
    })
    return loaded as Image
  }
  return { runtime, image }
}

/** A directory of the host that nothing may touch; call `check` at the end. */
function canary(): { readonly path: string; readonly check: () => void } {
  const path = join(directory(), 'canary')
  mkdirSync(path, { mode: 0o700 })
  writeFileSync(join(path, 'secret'), 'secret of the host', { mode: 0o600 })
  const before = treeFacts(path)
  return { path, check: () => expect(treeFacts(path)).toEqual(before) }
}

/** Runs a shell in an image; whatever comes of it, the result or the failure is text. */
async function outcome(runtime: Runtime, image: Image, script: string): Promise<string> {
  return runtime.run(image, ['/bin/sh', '-c', script]).then(
    ({ stdout, stderr }) => `${stdout}${stderr}`,
    (error: { message: string }) => error.message,
  )
}

describe('links in an image, where its container is made', () => {
  it('lead the working directory nowhere outside (CVE-2026-55686)', async () => {
    const { runtime, image } = await open()
    const host = canary()
    for (const target of [host.path, `${UP}${host.path.slice(1)}`]) {
      const hostile = await image([link('w', target), folder('deep/'), link('deep/w', target)], { WorkingDir: '/w/made' })
      expect(await outcome(runtime, hostile, 'pwd; cat /w/secret')).not.toContain('secret of the host')
      const deeper = await image([link('w', target), folder('deep/'), link('deep/w', target)], { WorkingDir: '/deep/w/made' })
      await outcome(runtime, deeper, 'pwd')
      expect(readdirSync(host.path)).toEqual(['secret'])
    }
    host.check()
  })

  it('lead what is mounted over them nowhere outside (CVE-2024-9341, CVE-2024-5154, CVE-2019-16884, CVE-2023-28642)', async () => {
    const { runtime, image } = await open()
    const host = canary()
    const secret = join(host.path, 'secret')
    const shapes: readonly TarBlock[][] = [
      [folder('etc/'), ...['hosts', 'hostname', 'resolv.conf', 'mtab'].map((name) => link(`etc/${name}`, secret))],
      [folder('etc/'), ...['hosts', 'hostname', 'resolv.conf', 'mtab'].map((name) => link(`etc/${name}`, `${UP}${secret.slice(1)}`))],
      [link('etc', host.path)],
      [link('dev', host.path), link('sys', host.path), link('run', host.path)],
      [folder('dev/'), link('dev/shm', host.path), link('dev/pts', host.path), link('dev/mqueue', host.path)],
      [link('proc', host.path)],
    ]
    for (const blocks of shapes) {
      const said = await outcome(
        runtime,
        await image(blocks),
        'cat /etc/hosts /etc/resolv.conf /etc/mtab /proc/secret /dev/secret 2>/dev/null',
      )
      expect(said).not.toContain('secret of the host')
      host.check()
    }
  })

  it('lead a volume of the image nowhere outside (CVE-2022-23648)', async () => {
    const { runtime, image } = await open()
    const host = canary()
    for (const target of [host.path, `${UP}${host.path.slice(1)}`]) {
      const hostile = await image([link('data', target)], { Volumes: { '/data': {} } })
      expect(await outcome(runtime, hostile, 'ls -la /data/; cat /data/secret; echo x > /data/new')).not.toContain('secret of the host')
      host.check()
    }
  })
})

describe('the user files of an image', () => {
  it('are not read where they are no files of the image: links, FIFOs, devices, without end (CVE-2024-9676, CVE-2026-47262)', async () => {
    const { runtime, image } = await open()
    const fifo = join(directory(), 'fifo')
    execFileSync('mkfifo', [fifo])
    const shapes: readonly (readonly [string, TarBlock[]])[] = [
      ['a link to a FIFO of the host', [link('etc/passwd', fifo), link('etc/group', fifo)]],
      ['a link to a device of the host', [link('etc/passwd', '/dev/zero'), link('etc/group', '/dev/zero')]],
      [
        'a FIFO',
        [
          { name: 'etc/passwd', type: '6' },
          { name: 'etc/group', type: '6' },
        ],
      ],
      ['a device', [{ name: 'etc/passwd', type: '3', major: 1, minor: 5 }]],
      ['a directory', [folder('etc/passwd/'), folder('etc/group/')]],
      ['a loop', [link('etc/passwd', 'group'), link('etc/group', 'passwd')]],
      [
        'a hole of 8 GiB',
        [
          {
            name: 'etc/passwd',
            pax: [
              ['GNU.sparse.size', String(8 * 1024 ** 3)],
              ['GNU.sparse.numblocks', '0'],
              ['GNU.sparse.map', ''],
            ],
          },
        ],
      ],
    ]
    for (const [, blocks] of shapes) {
      const hostile = await image([folder('etc/'), ...blocks], { User: 'somebody' })
      const started = performance.now()
      expect(await failure(runtime.run(hostile, ['/bin/id']))).toMatchObject({ code: expect.stringMatching(/^ERR_/) })
      expect(performance.now() - started).toBeLessThan(5000)
    }
  })

  it('of the host are not taken for them', async () => {
    const { runtime, image } = await open()
    const hostile = await image([link('etc', '/etc')], { User: 'daemon' })
    expect(await failure(runtime.run(hostile, ['/bin/id']))).toMatchObject({ code: 'ERR_USER_NOT_FOUND' })
  })
})

describe('what an image says of itself', () => {
  it('brings nothing of the environment of the host into a container (CVE-2026-57231)', async () => {
    const { runtime, image } = await open({ env: { ...process.env, PODLIB_TEST_SECRET: 'host-secret' } })
    const hostile = await image([], { Env: ['PODLIB_TEST_SECRET', '*', '=x', 'PODLIB_*', 'GOOD=1'] })
    const said = await outcome(runtime, hostile, 'cat /proc/1/environ')
    expect(said).toContain('GOOD=1')
    expect(said).not.toContain('host-secret')
  })

  it('opens no descriptor of the host to its program, by whatever working directory (CVE-2024-21626)', async () => {
    const { runtime, image } = await open()
    for (const WorkingDir of ['/proc/self/fd/7', '/link/../proc/self/fd/8'])
      expect(await failure(runtime.run(await image([], { WorkingDir }), ['/bin/sh', '-c', 'pwd']))).toMatchObject({
        code: 'ERR_IMAGE_CONFIG_INVALID',
      })
    const linked = await image([
      link('fd', '/proc/self/fd'),
      ...[...Array(14).keys()].map((fd) => link(`w${fd + 3}`, `/proc/self/fd/${fd + 3}`)),
    ])
    for (let fd = 3; fd < 17; fd++) {
      const said = await runtime.run(linked, ['/bin/sh', '-c', 'ls ../../../../..'], { cwd: `/w${fd}` }).then(
        ({ stdout }) => stdout,
        () => '',
      )
      expect(said.split('\n')).not.toContain('boot')
    }
    expect((await runtime.run(linked, ['/bin/ls', '/proc/self/fd'])).stdout.trim().split('\n').length).toBeLessThanOrEqual(4)
  })

  it("forges nothing in the merged view: overlay's own attributes in a layer mean nothing", async () => {
    const { runtime } = await open()
    const below = tar(folder('hidden/', { mode: 0o700 }), { name: 'hidden/secret', content: 'not for everybody' }, folder('kept/'), {
      name: 'kept/x',
    })
    const forged = (name: string, value: string): NonNullable<TarBlock['pax']> =>
      ['trusted', 'user'].map((prefix) => [`SCHILY.xattr.${prefix}.overlay.${name}`, value] as const)
    const above = tar(
      folder('open/', { pax: forged('redirect', '/hidden') }),
      folder('kept/', { pax: forged('opaque', 'y') }),
      { name: 'file', pax: [...forged('metacopy', ''), ...forged('redirect', '/hidden/secret')] },
      { name: 'kept/y', pax: forged('whiteout', 'y') },
    )
    const [image] = await runtime.images.load(Readable.from([tarImage('localhost/forged:1', [below, above])]))
    await using mounted = await (image as Image).mount()
    const facts = treeFacts(mounted.path)
    expect([...facts.keys()]).toEqual(['.', 'file', 'hidden', 'hidden/secret', 'kept', 'kept/x', 'kept/y', 'open'])
    expect(facts.get('file')?.content).toBe('')
  })
})

describe('the directories of a store', () => {
  it('are closed to others, whatever the umask: set-user-id programs of images lie in them (CVE-2021-41091, CVE-2021-41103, CVE-2024-25621, CVE-2025-47290)', async () => {
    const store = await lab.emptyStore()
    const before = process.umask(0)
    try {
      const runtime = await store.open()
      await runtime.images.load(
        Readable.from([tarImage('localhost/closed:1', [tar(folder('d/', { mode: 0o777 }), { name: 'd/x', mode: 0o4777 })])]),
      )
      for (const name of ['.', 'layers', 'staging']) expect([name, statSync(join(store.root, name)).mode & 0o077]).toEqual([name, 0])
      expect(statSync(store.runRoot).mode & 0o077).toBe(0)
    } finally {
      process.umask(before)
    }
  })
})
