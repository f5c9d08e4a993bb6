import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { beforeAll, describe, expect } from '@jest/globals'
import type { BuildOptions, BuildProgress, Runtime } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { failure } from '../helpers/registry-world.ts'
import { eventually, RUNTIME_NEEDS, type RuntimeStore, runtimeLab, SMALL } from '../helpers/runtime-store.ts'
import { fifos } from '../helpers/runtime-traces.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { tar } from '../helpers/tar-builder.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const NEEDS = [...RUNTIME_NEEDS, 'runc', 'buildah'] as const
const lab = runtimeLab()
const it = (name: string, work: () => Promise<void>) => testNeeding(NEEDS, name, work, 60_000)

let store: RuntimeStore
let runtime: Runtime

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  store = await lab.store()
  runtime = await store.open()
}, 60_000)

const lines = (...text: string[]) => ({ text: text.join('\n') })

async function directoryWith(files: Readonly<Record<string, string>>): Promise<string> {
  const directory = join(store.directory, `files-${Math.random().toString(16).slice(2)}`)
  await mkdir(directory)
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  return directory
}

async function watch(options: BuildOptions) {
  const seen: BuildProgress[] = []
  const build = runtime.images.build(options)
  for await (const progress of build) seen.push(progress)
  return { image: await build, seen, said: seen.flatMap((one) => (one.phase === 'output' ? [one.line] : [])) }
}

const output = async (image: { readonly id: string }, ...argv: string[]) => (await runtime.run(image, argv)).stdout.trim()

/** Resolves when a step has written a line. */
async function said(build: AsyncIterable<BuildProgress>, line: string): Promise<void> {
  for await (const progress of build) if (progress.phase === 'output' && progress.line === line) return
}

/** Whatever of builds is on the host while none is at work. */
function remains(place: RuntimeStore): string[] {
  const argvs = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ')
      } catch {
        return ''
      }
    })
  const containers = readFileSync(join(place.root, 'buildah/storage/overlay-containers/containers.json'), 'utf8')
  return [
    ...argvs.filter((argv) => argv.includes(place.directory) || argv.includes(SLEEP)),
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${place.root}/buildah`)),
    ...(containers.trim() === '[]' ? [] : [containers]),
    ...readdirSync(join(place.root, 'buildah/tmp')).filter((name) => !name.startsWith('buildah-cache')),
    ...readdirSync(join(place.root, 'staging')),
    ...fifos(place),
  ]
}

/** No other test sleeps for so long. */
const SLEEP = 'sleep 86417'
const FOREVER = lines(`FROM ${SMALL}`, `RUN echo asleep; ${SLEEP} & ${SLEEP}`)

describe('a build', () => {
  it('makes an image that runs, of an image of the store, with no registry', async () => {
    const containerfile = `FROM ${SMALL}\nCOPY hello /hello\nRUN cat /hello > /copy && echo said\nCMD ["cat", "/copy"]\n`
    const context = await directoryWith({ Containerfile: containerfile, hello: 'world' })
    const { image, seen, said: text } = await watch({ context, name: ['made:1', 'example.com/made:2'] })
    expect(image.name).toBe('localhost/made:1')
    expect(await output(image, 'cat', '/copy')).toBe('world')
    const step = { phase: 'step', stage: 1, stages: 1, step: 3, steps: 4, instruction: expect.stringMatching(/^RUN cat/) }
    expect(seen).toContainEqual(step)
    expect(text).toContain('said')
    const phases = seen.map(({ phase }) => phase)
    expect(phases).toEqual(expect.arrayContaining(['resolve', 'step', 'output', 'exists', 'ready', 'commit']))
    expect(await runtime.images.inspect('made:1')).toMatchObject({ id: image.id, names: ['example.com/made:2', 'localhost/made:1'] })
    const events: string[] = []
    for await (const event of runtime.events({ since: 0 })) if (event.type === 'image') events.push(`${event.action} ${event.id}`)
    expect(events.filter((event) => event.endsWith(image.id))).toEqual([`build ${image.id}`])
    expect(remains(store)).toEqual([])
  })

  it('does not do again what it has done, unless it is told to', async () => {
    const containerfile = lines(`FROM ${SMALL}`, 'RUN date +%s%N > /when')
    const first = await watch({ containerfile })
    const second = await watch({ containerfile })
    expect(second.image.id).toBe(first.image.id)
    expect(second.said.join('\n')).toMatch(/Using cache/)
    expect(second.seen.map(({ phase }) => phase)).not.toContain('ready')
    expect((await watch({ containerfile, noCache: true })).image.id).not.toBe(first.image.id)
  })

  it('goes through the stages that its target needs, with arguments, labels and environment', async () => {
    const containerfile = lines(
      'ARG BASE=unknown.invalid/none',
      'FROM registry.invalid/never AS unused',
      'FROM $BASE AS tools',
      'ARG WORD',
      'RUN echo "$WORD" > /word',
      'FROM scratch AS result',
      'COPY --from=tools / /',
      'LABEL mine=yes',
      'FROM result AS after',
      'RUN false',
    )
    const options = { args: { BASE: SMALL, WORD: '--squash $(x) a=b' }, labels: { 'a.b': '--c=d' }, env: { GREETING: 'hi there' } }
    const { image, seen } = await watch({ containerfile, target: 'result', ...options })
    expect(await output(image, '/bin/cat', '/word')).toBe('--squash $(x) a=b')
    const { config } = await image.inspect()
    expect(config.config).toMatchObject({ Labels: { mine: 'yes', 'a.b': '--c=d' }, Env: expect.arrayContaining(['GREETING=hi there']) })
    expect(seen.filter((one) => one.phase === 'step' && one.instruction === 'RUN false')).toEqual([])
    expect(await failure(runtime.images.build({ containerfile, target: 'nothing' }))).toMatchObject({ code: 'ERR_CONTAINERFILE_INVALID' })
  })

  it('takes further directories and images, secrets and a file of what to ignore', async () => {
    const more = await directoryWith({ other: 'from the other directory' })
    const context = await directoryWith({
      Dockerfile: [
        'FROM base',
        'COPY . /all/',
        'COPY --from=more other /other',
        'RUN --mount=type=bind,from=tools,target=/tools cp /tools/etc/os-release /os && ! test -e /run/secrets/none',
        'RUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = "s3cr,et"',
      ].join('\n'),
      kept: '1',
      left: '2',
      ignored: 'left',
    })
    const contexts = { more, base: { image: SMALL }, tools: { image: SMALL } }
    const { image } = await watch({ context, contexts, secrets: { token: 's3cr,et' }, ignoreFile: join(context, 'ignored') })
    expect(await output(image, 'sh', '-c', 'ls /all; cat /other; find / -xdev -name "token*"')).toBe(
      'Dockerfile\nignored\nkept\nfrom the other directory',
    )
  })

  it('keeps what only the Docker format has, squashes, and comes out the same at a given time', async () => {
    const containerfile = lines(`FROM ${SMALL}`, 'RUN touch /one', 'RUN touch /two', 'HEALTHCHECK CMD true')
    const docker = await watch({ containerfile, format: 'docker' })
    expect((await docker.image.inspect()).config.config).toMatchObject({ Healthcheck: { Test: ['CMD-SHELL', 'true'] } })
    expect((await docker.image.inspect()).layers).toHaveLength(3)
    const squashed = await watch({ containerfile, squash: true })
    expect((await squashed.image.inspect()).layers).toHaveLength(2)
    expect(await output(squashed.image, 'ls', '/one', '/two')).toBe('/one\n/two')
    expect((await (await watch({ containerfile, squash: 'all' })).image.inspect()).layers).toHaveLength(1)
    const createdAt = new Date(1_700_000_000_000)
    const same = [await watch({ containerfile, createdAt, noCache: true }), await watch({ containerfile, createdAt, noCache: true })]
    expect(same[0]?.image.id).toBe(same[1]?.image.id)
  })

  it('has no network unless it is given that of the host', async () => {
    const containerfile = lines(`FROM ${SMALL}`, 'RUN --network=host ls /sys/class/net > /net')
    const fenced = await runtime.images.build({ containerfile, noCache: true }).catch(() => undefined)
    if (fenced) expect(await output(fenced, 'cat', '/net')).toBe('lo')
    const open = lines(`FROM ${SMALL}`, 'RUN cat /proc/net/dev > /net')
    const nets = [
      await output((await watch({ containerfile: open, noCache: true })).image, 'cat', '/net'),
      await output((await watch({ containerfile: open, noCache: true, network: 'host' })).image, 'cat', '/net'),
      await output((await watch({ containerfile: open, noCache: true, isolation: 'chroot' })).image, 'cat', '/net'),
    ]
    const names = nets.map((net) => [...net.matchAll(/^\s*(\S+):/gm)].map(([, name]) => name))
    expect(names).toEqual([['lo'], [...readFileSync('/proc/net/dev', 'utf8').matchAll(/^\s*(\S+):/gm)].map(([, name]) => name), ['lo']])
  })

  it('goes with runc as well', async () => {
    const other = await store.open({ ociRuntime: 'runc' })
    const image = await other.images.build({ containerfile: lines(`FROM ${SMALL}`, 'RUN id -u > /who'), noCache: true })
    expect((await other.run(image, ['cat', '/who'])).stdout).toBe('0\n')
    expect(cgroupsOf(store)).toEqual([])
  })

  it('does not hinder another one', async () => {
    const containerfile = (word: string) => lines(`FROM ${SMALL}`, `RUN sleep 0.3; echo ${word} > /word`)
    const made = await Promise.all(['one', 'two'].map((word) => runtime.images.build({ containerfile: containerfile(word) })))
    expect(await Promise.all(made.map((image) => output(image, 'cat', '/word')))).toEqual(['one', 'two'])
    expect(remains(store)).toEqual([])
  })

  it('keeps its cache until that is removed, which waits for no build', async () => {
    const build = runtime.images.build({
      containerfile: lines(`FROM ${SMALL}`, 'RUN --mount=type=cache,target=/kept echo on > /kept/x; sleep 1'),
    })
    for await (const progress of build) if (progress.phase === 'step') break
    expect(await failure(runtime.images.removeBuildCache())).toMatchObject({ code: 'ERR_STORE_IN_USE' })
    await build
    const again = lines(`FROM ${SMALL}`, 'RUN --mount=type=cache,target=/kept cp /kept/x /word')
    expect(await output((await watch({ containerfile: again })).image, 'cat', '/word')).toBe('on')
    expect((await runtime.images.diskUsage()).buildCacheBytes).toBeGreaterThan(1_000_000)
    await runtime.images.removeBuildCache()
    expect((await runtime.images.diskUsage()).buildCacheBytes).toBeLessThan(100_000)
    expect(readdirSync(join(store.root, 'buildah')).sort()).toEqual(['lock', 'users.lock'])
    expect(await failure(runtime.images.build({ containerfile: again }))).toMatchObject({ code: 'ERR_BUILD_FAILED' })
  })

  it('takes a tar for the context, plain or compressed, and leaves nothing of it', async () => {
    const files = tar(
      { name: './Containerfile', content: `FROM ${SMALL}\nCOPY word /word\nCOPY .wh.plain /plain\n` },
      { name: './word', content: 'streamed' },
      { name: './.wh.plain', content: 'no whiteout' },
    )
    for (const bytes of [files, gzipSync(files)]) {
      const { image } = await watch({ context: Readable.from([bytes]) })
      expect(await output(image, 'cat', '/word', '/plain')).toBe('streamedno whiteout')
    }
    const failing = Readable.from(
      (async function* () {
        yield files.subarray(0, 700)
        throw new Error('the line is dead')
      })(),
    )
    expect((await failure(runtime.images.build({ context: failing }))).message).toBe('the line is dead')
    const none = runtime.images.build({ context: Readable.from([tar({ name: 'x', content: '' })]) })
    expect(await failure(none)).toMatchObject({ code: 'ERR_CONTAINERFILE_NOT_FOUND' })
    expect(await failure(runtime.images.build({ context: {} as never }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(readdirSync(join(store.root, 'staging'))).toEqual([])
  })

  it('pulls what it needs as a pull does, under the same policy', async () => {
    await using registry = await startDockerRegistry()
    const layout = join(store.directory, 'pulled-layout')
    await writeSmallImage(layout)
    await registry.push(layout, 'latest', 'base:1')
    const containerfile = lines(`FROM ${registry.host}/base:1`, 'RUN echo pulled > /word')
    const other = await lab.emptyStore({ insecureRegistries: [registry.host] })
    const strict = await other.open({ policy: { default: [{ type: 'reject' }] } })
    expect(await failure(strict.images.build({ containerfile }))).toMatchObject({ code: 'ERR_TRUST_DENIED' })
    expect(await strict.images.list()).toEqual([])
    const open = await other.open()
    const image = await open.images.build({ containerfile })
    expect((await open.run(image, ['cat', '/word'])).stdout).toBe('pulled\n')
    expect((await open.images.list()).map(({ names }) => names)).toContainEqual([`${registry.host}/base:1`])
  })
})

describe('a build that does not come to its end', () => {
  it('tells which step failed, and how', async () => {
    const containerfile = lines(`FROM ${SMALL}`, 'RUN true', 'RUN echo out; echo err >&2; exit 3')
    const error = await failure(runtime.images.build({ containerfile, args: { TOKEN: 'hunter2' } }))
    expect(error).toMatchObject({ code: 'ERR_BUILD_FAILED', message: expect.stringMatching(/step 3\/3 \(RUN echo out.*exit status 3/) })
    expect(error).toMatchObject({ details: { step: 3, steps: 3, commandExitCode: 3, output: expect.arrayContaining(['out', 'err']) } })
    expect(JSON.stringify(error)).not.toContain('hunter2')
    expect(remains(store)).toEqual([])
  })

  it('says what is missing before it begins', async () => {
    const context = await directoryWith({ 'Containerfile.in': 'FROM scratch' })
    const code = async (options: BuildOptions) => ((await failure(runtime.images.build(options))) as { code: string }).code
    expect(await code({ context })).toBe('ERR_CONTAINERFILE_NOT_FOUND')
    expect(await code({ context, containerfile: 'other' })).toBe('ERR_CONTAINERFILE_NOT_FOUND')
    expect(await code({ context, containerfile: 'Containerfile.in' })).toBe('ERR_INVALID_ARGUMENT')
    expect(await code({ context: join(context, 'nowhere') })).toBe('ERR_INVALID_ARGUMENT')
    expect(await code({ containerfile: lines('RUN true') })).toBe('ERR_CONTAINERFILE_INVALID')
    expect(await code({ containerfile: lines('FROM missing:1'), pull: 'never' })).toBe('ERR_IMAGE_NOT_FOUND')
    const without = await store.open({ buildah: '/nonexistent/buildah' })
    const error = await failure(without.images.build({ containerfile: lines('FROM scratch') }))
    expect(error).toMatchObject({ code: 'ERR_PROGRAM_MISSING', message: expect.stringMatching(/Debian: buildah/) })
    expect(fifos(store)).toEqual([])
  })

  it('ends with all that it has started when it is aborted', async () => {
    const controller = new AbortController()
    const build = runtime.images.build({ containerfile: FOREVER, signal: controller.signal })
    await said(build, 'asleep')
    const reason = new Error('enough')
    controller.abort(reason)
    expect(await failure(build)).toBe(reason)
    expect(remains(store)).toEqual([])
    await eventually(() => expect(cgroupsOf(store)).toEqual([]))
  })

  it('leaves what another one is at alone', async () => {
    const controller = new AbortController()
    const doomed = runtime.images.build({ containerfile: FOREVER, signal: controller.signal })
    const other = runtime.images.build({ containerfile: lines(`FROM ${SMALL}`, 'RUN echo mine > /word; sleep 2; cat /word') })
    await said(doomed, 'asleep')
    controller.abort()
    await failure(doomed)
    expect(await output(await other, 'cat', '/word')).toBe('mine')
    await runtime.images.build({ containerfile: lines('FROM scratch', 'LABEL a=b') })
    expect(remains(store)).toEqual([])
  })

  it('ends with its runtime', async () => {
    const closing = await store.open()
    const build = closing.images.build({ containerfile: FOREVER })
    await said(build, 'asleep')
    await closing.close()
    expect(await failure(build)).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' })
    expect(remains(store)).toEqual([])
  })

  it('ends when the host worker is killed', async () => {
    const build = runtime.images.build({ containerfile: FOREVER })
    await said(build, 'asleep')
    for (const pid of workers()) process.kill(pid, 'SIGKILL')
    expect(await failure(build)).toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    await eventually(() => expect(remains(store).filter((trace) => trace.includes(SLEEP))).toEqual([]))
    await runtime.images.build({ containerfile: lines('FROM scratch', 'LABEL a=c') })
    expect(remains(store)).toEqual([])
  })
})

function cgroupsOf({ cgroupParent }: RuntimeStore): string[] {
  const parents = ['', ...readdirSync('/sys/fs/cgroup')].map((name) => join('/sys/fs/cgroup', name, cgroupParent))
  return parents.filter((path) => existsSync(path)).flatMap((path) => readdirSync(path).filter((name) => name.startsWith('build-')))
}

/** The workers of this process. */
function workers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
        return stat.includes('(podlib-worker)') && stat.split(') ')[1]?.split(' ')[1] === String(process.pid)
      } catch {
        return false
      }
    })
}
