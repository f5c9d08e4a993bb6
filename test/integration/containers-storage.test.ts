import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { RuntimeOptions } from '../../src/index.ts'
import { type Ability, lacking } from '../helpers/abilities.ts'
import { openPodman, type Podman } from '../helpers/podman.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'
import { failure } from '../helpers/registry-world.ts'
import { ROOTLESS_NEEDS, rootlessLab } from '../helpers/rootless-lab.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { tarImage } from '../helpers/tar-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const NEEDS: readonly Ability[] = [...RUNTIME_NEEDS, 'podman', 'buildah', 'umoci']
const NAME = 'localhost/app:1'
const SLEEP = ['sleep', '1000']
const lab = runtimeLab()
const rootless = rootlessLab()
const directory = temporaryDirectories()
const it = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work)

let podman: Podman
let root: string

/** Busybox, and above it a layer by buildah that adds, changes and deletes. */
beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  podman = await openPodman({ ociRuntime: 'crun' })
  root = (await podman.output('info', '--format', '{{.Store.GraphRoot}}')).trim()
  const layout = join(root, '../layout')
  await writeSmallImage(layout)
  await runProgram('skopeo', ['copy', '--quiet', `oci:${layout}:latest`, `docker-archive:${layout}.tar:localhost/base:1`])
  await podman.run('load', '--quiet', '--input', `${layout}.tar`)
  writeFileSync(
    join(root, '../Containerfile'),
    'FROM localhost/base:1\nRUN rm /etc/os-release && rm -r /home && mkdir /home && touch /home/new && chmod 4711 /bin/busybox\nENV A=b\nLABEL c=d\nCMD ["cat", "/etc/group"]\n',
  )
  await podman.run(
    'build',
    '--isolation',
    'chroot',
    '--layers=false',
    '--tag',
    NAME,
    '--file',
    join(root, '../Containerfile'),
    join(root, '..'),
  )
}, 60_000)
afterAll(async () => {
  await podman?.[Symbol.asyncDispose]()
})

const withStore = (more: RuntimeOptions = {}): RuntimeOptions => ({ additionalImageStores: [root], ...more })
const own = (store: RuntimeStore) => (existsSync(join(store.root, 'layers')) ? readdirSync(join(store.root, 'layers')) : [])
/** Everything in podman's store, with the attributes of every file. */
const everything = () =>
  outputOf('sh', ['-c', `cd ${root} && find overlay overlay-images overlay-layers -printf '%p %m %U %G %s %T@ %l\\n' | sort`])

describe('an image of podman’s store', () => {
  it('is found, and says that it is only read', async () => {
    const runtime = await (await lab.emptyStore(withStore())).open()
    const [image, ...more] = await runtime.images.list({ reference: 'app' })
    expect(more).toEqual([])
    const id = (await podman.output('image', 'inspect', '--format', '{{.Id}}', NAME)).trim()
    expect(image).toMatchObject({ id, names: [NAME], readOnly: true, store: root, labels: { c: 'd' } })
    const found = await runtime.images.get('app:1')
    expect(found).toMatchObject({ id, name: NAME })
    const digest = (await podman.output('image', 'inspect', '--format', '{{.Digest}}', NAME)).trim()
    expect(await found.inspect()).toMatchObject({
      config: { config: { Env: expect.arrayContaining(['A=b']) } },
      digests: [`localhost/app@${digest}`],
    })
    expect((await found.history()).length).toBeGreaterThan(1)
    expect((await found.tree()).length).toBe((await found.inspect()).layers.length)
    expect((await runtime.images.get(id.slice(0, 10))).name).toBe(NAME)
    expect((await runtime.images.get(`localhost/app@${digest}`)).id).toBe(id)
    expect(await failure(runtime.images.get('nothing'))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' })
  })

  it('runs where it is: nothing is copied, and nothing of it changes', async () => {
    const store = await lab.emptyStore(withStore())
    const runtime = await store.open()
    const before = await everything()
    expect(
      (await runtime.run(NAME, ['sh', '-c', 'ls /home; stat -c %a /bin/busybox; ls /etc/os-release; echo mine > /etc/group'])).stdout,
    ).toBe('new\n4711\n')
    const container = await runtime.containers.run({ image: NAME, name: 'c', command: SLEEP })
    const { id: imageId } = await runtime.images.get(NAME)
    const image = { imageId, imageStore: root, imageName: NAME }
    expect(await container.inspect()).toMatchObject(image)
    expect(await runtime.containers.list({ imageId })).toEqual([expect.objectContaining({ id: container.id, ...image })])
    expect((await container.exec(['sh', '-c', 'echo x > /new && cat /new'])).stdout).toBe('x\n')
    expect((await runtime.images.list({ inUse: true })).map(({ names }) => names)).toEqual([[NAME]])
    await container.stop({ timeoutMs: 0 })
    await container.start()
    expect((await container.exec(['cat', '/new'])).stdout).toBe('x\n')
    await container.remove({ force: true })
    expect(own(store)).toEqual([])
    expect(await everything()).toBe(before)
    expect(await podman.output('run', '--rm', '--network=none', NAME)).toBe('root:x:0:\nnogroup:x:65534:\n')
  })

  it('can be mounted and compared', async () => {
    const runtime = await (await lab.emptyStore(withStore())).open()
    const image = await runtime.images.get(NAME)
    {
      await using mount = await image.mount()
      expect(readdirSync(join(mount.path, 'home'))).toEqual(['new'])
    }
    const changes = (await image.diff()).map(({ path, kind }) => `${kind} ${path}`)
    expect(changes).toEqual(expect.arrayContaining(['changed /bin/busybox', 'deleted /etc/os-release', 'added /home/new']))
  })

  it('cannot be removed, tagged, untagged or saved, and no prune sees it', async () => {
    const runtime = await (await lab.emptyStore(withStore())).open()
    const image = await runtime.images.get(NAME)
    const refused = { code: 'ERR_IMAGE_READ_ONLY', message: expect.stringContaining(root) }
    expect(await failure(image.remove({ force: true }))).toMatchObject(refused)
    expect(await failure(runtime.images.remove(NAME))).toMatchObject(refused)
    expect(await failure(image.tag('other:1'))).toMatchObject(refused)
    expect(await failure(image.untag())).toMatchObject(refused)
    expect(await failure(image.save({ path: join(directory(), 'a.tar') }))).toMatchObject(refused)
    expect(await runtime.images.prune({ all: true })).toMatchObject({ removed: [] })
  })

  it('is judged by a policy as what a pull from there would be, and its layers are proven on demand', async () => {
    const copy = join(directory(), 'store')
    await runProgram('cp', ['-a', root, copy])
    const runtime = await (await lab.emptyStore({ additionalImageStores: [copy] })).open()
    const image = await runtime.images.get(NAME)
    const { layers } = await image.inspect()
    const intact = layers.map(({ diffId }) => ({ diffId, intact: true, problem: undefined }))
    expect(await image.verify({ layers: true })).toMatchObject({ accepted: true, decisions: [{ accepted: true }], layers: intact })
    const policy = { default: [{ type: 'insecureAcceptAnything' }], transports: { 'containers-storage': { '': [{ type: 'reject' }] } } }
    expect(await image.verify({ policy })).toMatchObject({ accepted: false, decisions: [{ accepted: false }], layers: undefined })
    const top = layers.at(-1)?.diffId as string
    const record = (
      JSON.parse(readFileSync(join(copy, 'overlay-layers/layers.json'), 'utf8')) as { id: string; 'diff-digest': string }[]
    ).find((layer) => layer['diff-digest'] === top)
    writeFileSync(join(copy, 'overlay', record?.id as string, 'diff/bin/busybox'), readFileSync('/proc/self/exe'))
    const changed = [...intact.slice(0, -1), { diffId: top, intact: false, problem: expect.stringContaining('its tar is sha256:') }]
    expect(await image.verify({ layers: true })).toMatchObject({ accepted: false, decisions: [{ accepted: true }], layers: changed })
    const thrown = { code: 'ERR_STORE_CORRUPT', details: { imageId: image.id, diffId: top } }
    expect(await failure(image.verify({ layers: true, throwIfDenied: true }))).toMatchObject(thrown)
  })

  it('proves layers of the own store the same way', async () => {
    const store = await lab.store()
    const runtime = await store.open()
    const image = await runtime.images.get(SMALL)
    const [layer] = (await image.inspect()).layers
    const diffId = layer?.diffId as string
    expect((await image.verify({ layers: true })).layers).toEqual([{ diffId, intact: true, problem: undefined }])
    writeFileSync(join(store.root, 'layers', diffId.slice('sha256:'.length), 'fs/etc/passwd'), 'root::0:0:root:/root:/bin/sh\n')
    const verification = await image.verify({ layers: true })
    expect(verification).toMatchObject({ accepted: false, layers: [{ diffId, intact: false, problem: expect.any(String) }] })
  })

  it('comes and goes while the runtime is open, also under a container, which then says so', async () => {
    const store = await lab.emptyStore(withStore())
    const runtime = await store.open()
    const layer = tar({ name: 'bin/', type: '5', mode: 0o755 }, { name: 'bin/sh', content: readFileSync('/bin/busybox'), mode: 0o755 })
    const archive = join(directory(), 'a.tar')
    writeFileSync(archive, tarImage('localhost/passing:1', [layer]))
    expect(await runtime.images.find('passing:1')).toBeUndefined()
    await podman.run('load', '--quiet', '--input', archive)
    const container = await runtime.containers.create({ image: 'passing:1', command: ['sh', '-c', 'exit 3'] })
    await podman.run('tag', 'localhost/passing:1', 'localhost/renamed:1')
    await podman.run('untag', 'localhost/passing:1', 'localhost/passing:1')
    expect([await runtime.images.find('passing:1'), (await runtime.images.get('renamed:1')).name]).toEqual([
      undefined,
      'localhost/renamed:1',
    ])
    await container.start()
    expect(await container.wait()).toMatchObject({ exitCode: 3 })
    await podman.run('rmi', 'localhost/renamed:1')
    const error = await failure(container.start())
    expect(error).toMatchObject({ code: 'ERR_LAYER_NOT_FOUND', message: expect.stringContaining(root) })
    await podman.run('load', '--quiet', '--input', archive)
    await container.start()
    expect(await container.wait()).toMatchObject({ exitCode: 3 })
    await container.remove()
    await podman.run('rmi', 'localhost/passing:1')
  })

  it('stands behind one of the own store', async () => {
    const store = await lab.emptyStore()
    const plain = await store.open()
    const copy = await plain.images.pull(`containers-storage:[${root}]${NAME}`)
    const runtime = await store.open(withStore())
    expect(await (await runtime.images.get(NAME)).inspect()).toMatchObject({ readOnly: false, store: undefined })
    expect((await runtime.images.list({ reference: 'app' })).map(({ readOnly }) => readOnly)).toEqual([false, true])
    await copy.remove()
    expect(await (await runtime.images.get(NAME)).inspect()).toMatchObject({ readOnly: true })
  })

  it('is not looked for in a store that is not there', async () => {
    const store = await lab.emptyStore()
    expect(await failure(store.open({ additionalImageStores: ['/nowhere'] }))).toMatchObject({ code: 'ERR_STORE_UNREADABLE' })
    expect(await failure(store.open({ additionalImageStores: ['relative'] }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  testNeeding([...NEEDS, ...ROOTLESS_NEEDS], 'of root says nothing to another user', async () => {
    const session = rootless().user.session()
    const opening = session.call('open', { ...rootless().options, additionalImageStores: [root] })
    expect(await failure(opening)).toMatchObject({ code: 'ERR_PERMISSION' })
    await session.end()
  })

  testNeeding([...NEEDS, ...ROOTLESS_NEEDS], 'of a user runs without privilege, and can be copied', async () => {
    const { user, options } = rootless()
    const copy = join(user.home, 'storage')
    await runProgram('cp', ['-a', root, copy])
    await runProgram('chown', ['-R', '--no-dereference', `${user.uid}:${user.uid}`, copy])
    const session = user.session()
    await session.call('open', { ...options, additionalImageStores: [copy] })
    const { stdout } = await session.call('run', NAME, ['sh', '-c', 'ls /home; ls /etc/os-release; id -u'])
    expect(stdout).toBe('new\n0\n')
    await session.call('pull', `containers-storage:[${copy}]${NAME}`)
    await session.call('close')
    await session.call('open', options)
    expect((await session.call('run', NAME, ['ls', '/home'])).stdout).toBe('new\n')
    await session.call('removeImage', NAME)
    await session.call('close')
    await session.end()
    rmSync(copy, { recursive: true })
  })
})

/** What a record of a tar has to tell exactly: names of any bytes and length, links, attributes, times, whiteouts. */
const ODD: readonly (TarBlock | Buffer)[] = [
  { name: './', type: '5', mode: 0o711, mtime: 1_000_000_000 },
  { name: './a/', type: '5', mode: 0o1777, uid: 12, gid: 34 },
  { name: './a/file', content: 'text', mode: 0o4755, pax: [['mtime', '1700000000.123456789']] },
  { name: './a/link', type: '1', linkName: './a/file' },
  { name: './a/symlink', type: '2', linkName: '/etc/passwd' },
  { name: Buffer.from([0x61, 0x2f, 0xff, 0xfe]), content: 'bytes' },
  { name: 'short', content: 'long', pax: [['path', `a/${'long'.repeat(60)}`]] },
  { name: './a/big', content: Buffer.alloc(3_000_000, 'x') },
  { name: './a/xattr', content: 'x', pax: [['SCHILY.xattr.user.a', Buffer.from([1, 0xc0, 2])]] },
  { name: './.wh.gone', content: '' },
]

describe('a pull from podman’s store', () => {
  it('copies an image exactly: id, diff IDs and every byte of its layers', async () => {
    const layers = [tar({ name: 'gone', content: '1' }), tar(...ODD)]
    const archive = join(directory(), 'a.tar')
    writeFileSync(archive, tarImage('localhost/odd:1', layers))
    await podman.run('load', '--quiet', '--input', archive)
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const phases = new Set<string>()
    const pulling = runtime.images.pull(`containers-storage:[overlay@${root}]odd:1`)
    for await (const { phase } of pulling) phases.add(phase)
    const image = await pulling
    expect([...phases]).toEqual(expect.arrayContaining(['download', 'ready', 'commit']))
    expect(image.id).toBe((await podman.output('image', 'inspect', '--format', '{{.Id}}', 'localhost/odd:1')).trim())
    expect(image.name).toBe('localhost/odd:1')
    const saved = directory()
    await image.save({ path: join(saved, 'oci'), format: 'oci' })
    const { layers: known } = await image.inspect()
    for (const [position, { diffId }] of known.entries())
      expect(readFileSync(join(saved, 'oci/blobs/sha256', diffId.slice(7))).equals(layers[position] as Buffer)).toBe(true)
    await image.remove()
    expect(own(store)).toEqual([])
    await podman.run('rmi', 'localhost/odd:1')
  })

  it('takes images by name and by id, and gives them other names when asked', async () => {
    const runtime = await (await lab.emptyStore()).open()
    const byName = await runtime.images.pull(`containers-storage:[${root}]${NAME}`, { names: ['mine:1'] })
    expect(await byName.inspect()).toMatchObject({ names: ['localhost/mine:1'], readOnly: false })
    const [byId] = await runtime.images.load(`containers-storage:[${root}]@${byName.id}`)
    expect(byId).toMatchObject({ id: byName.id, name: NAME })
    expect((await runtime.run(NAME, ['cat', '/etc/group'])).stdout).toContain('root')
    const missing = failure(runtime.images.pull(`containers-storage:[${root}]nothing:1`))
    expect(await missing).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND', message: expect.stringContaining(root) })
    expect(await failure(runtime.images.pull(`containers-storage:[vfs@${root}]${NAME}`))).toMatchObject({ code: 'ERR_STORE_UNSUPPORTED' })
  })

  it('asks the policy', async () => {
    const accept = [{ type: 'insecureAcceptAnything' }]
    const policy = (scope: string) => ({
      default: accept,
      transports: { 'containers-storage': { '': accept, [`[overlay@${root}]${scope}`]: [{ type: 'reject' }] } },
    })
    const store = await lab.emptyStore()
    const pull = async (scope: string) => (await store.open({ policy: policy(scope) })).images.pull(`containers-storage:[${root}]${NAME}`)
    expect(await failure(pull('localhost/app'))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(await failure(pull(''))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(await pull('localhost/other')).toMatchObject({ name: NAME })
  })

  it('refuses files that were changed, and keeps nothing of them', async () => {
    const copy = join(directory(), 'store')
    await runProgram('cp', ['-a', root, copy])
    const store = await lab.emptyStore()
    const runtime = await store.open()
    const pull = () => failure(runtime.images.pull(`containers-storage:[${copy}]${NAME}`))
    const busybox = (await outputOf('sh', ['-c', `find ${copy}/overlay -path '*/diff/etc/passwd'`])).trim().split('\n')[0] as string
    const text = readFileSync(busybox, 'utf8')
    writeFileSync(busybox, text.replace('root', 'toor'))
    expect(await pull()).toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    writeFileSync(busybox, '')
    expect(await pull()).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    rmSync(busybox)
    expect(await pull()).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await runProgram('sh', ['-c', `rm ${copy}/overlay-layers/*.gz`])
    expect(await pull()).toMatchObject({ code: 'ERR_STORE_UNSUPPORTED' })
    expect(await runtime.images.list()).toEqual([])
    await eventually(() => expect(readdirSync(join(store.root, 'staging'))).toEqual([]))
  })
})
