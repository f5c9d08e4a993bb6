import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../../lifecycle/context.ts'
import { formatPlatform, normalizePlatform } from '../../spec/platform.ts'
import { type Operation, startOperation } from '../../util/operation.ts'
import { platformOption } from '../platform-option.ts'
import type { PulledImage } from '../pull.ts'
import { type BasesInput, provideBases, provideImage } from './bases.ts'
import { type Buildah, withBuildah } from './buildah.ts'
import { type BuildFiles, type BuildFromDirectory, buildNames, checkBuildOptions, findBuildFiles } from './checks.ts'
import { withContextDirectory } from './context.ts'
import { buildImages } from './images.ts'
import type { BuildOptions, BuildProgress } from './options.ts'
import { buildProgressKey, transcribe } from './output.ts'
import { storeResult } from './result.ts'

/** Builds an image with Buildah. */
export function buildImage(context: Context, options: BuildOptions): Operation<PulledImage, BuildProgress> {
  return startOperation<PulledImage, BuildProgress>(async (report) => {
    checkBuildOptions(options)
    const signal = options.signal ? AbortSignal.any([options.signal, context.closing]) : context.closing
    signal.throwIfAborted()
    const use = (directory: string | undefined) => build(context, { ...options, context: directory, signal }, report)
    const work = withContextDirectory(context, options.context, { signal, use })
    // A runtime that is closed meanwhile is closed when nothing of it is left.
    context.background.add(work)
    return work
  }, buildProgressKey)
}

type Options = BuildFromDirectory & { readonly signal: AbortSignal }
type Report = (progress: BuildProgress) => void

async function build(context: Context, options: Options, report: Report): Promise<PulledImage> {
  const { signal, format = 'oci' } = options
  const files = await findBuildFiles(options)
  const text = 'text' in files.containerfile ? files.containerfile.text : await readFile(files.containerfile.path, 'utf8')
  const images = buildImages({
    text,
    args: options.args ?? {},
    target: options.target,
    contexts: Object.keys(options.contexts ?? {}),
    platform: platformOption(options, context.platform),
    buildPlatform: context.platform,
  })
  return withBuildah(context, signal, async (buildah) => {
    const { platform, pull: policy = 'missing' } = options
    const input: BasesInput = { buildah, images, policy, platform, report, signal }
    const bases = await provideBases(context, input)
    for (const [name, value] of Object.entries(options.contexts ?? {})) {
      if (typeof value === 'object') bases.set(name, await provideImage(context, input, value.image, platform))
    }
    const call = {
      args: await buildArguments(context, buildah, { options, files, text, bases }),
      directory: files.context ?? (await emptyDirectory(buildah)),
      network: networkOf(context, options),
    }
    const id = await runBuild(buildah, call, report)
    const names = buildNames(options)
    await storeResult(context, { buildah, id, format, names, report, signal })
    return { id, name: names[0] ?? id }
  })
}

function networkOf({ defaults }: Context, { network }: Options): 'none' | 'host' {
  return network ?? (defaults.network === 'host' ? 'host' : 'none')
}

interface BuildCall {
  /** Each in one word with its value, so that no value can be an option. */
  readonly args: readonly string[]
  readonly directory: string
  readonly network: 'none' | 'host'
}

/** Resolves to the id of the image in Buildah's storage. */
async function runBuild(buildah: Buildah, { args, directory, network }: BuildCall, report: Report): Promise<string> {
  const transcript = transcribe(report)
  const idFile = join(buildah.directory, 'image-id')
  const exit = await buildah.run(['build', `--iidfile=${idFile}`, ...args, '--', directory], {
    network,
    onLine: (stream, line) => transcript.add(stream, line),
  })
  if (exit.exitCode !== 0) throw transcript.failure(exit)
  return (await readFile(idFile, 'utf8')).trim().replace('sha256:', '')
}

interface ArgumentsInput {
  readonly options: Options
  readonly files: BuildFiles
  /** Of the Containerfile. */
  readonly text: string
  readonly bases: ReadonlyMap<string, string>
}

async function buildArguments(context: Context, buildah: Buildah, { options, files, text, bases }: ArgumentsInput): Promise<string[]> {
  const { args, env, labels, annotations, target, platform, noCache, squash, format = 'oci', createdAt } = options
  const pairs = (option: string, values: Readonly<Record<string, string>> = {}) =>
    Object.entries(values).map(([name, value]) => `--${option}=${name}=${value}`)
  return [
    '--pull=never',
    '--identity-label=false',
    '--force-rm',
    `--layers=${!squash}`,
    `--format=${format}`,
    `--signature-policy=${buildah.policy}`,
    ...(await isolationArguments(context, buildah, options)),
    ...pairs('build-arg', args),
    ...pairs('env', env),
    ...pairs('label', labels),
    ...pairs('annotation', annotations),
    ...pairs('build-context', Object.fromEntries(files.directories)),
    ...[...bases].map(([name, id]) => `--build-context=${name}=container-image://${id}`),
    ...(await secretArguments(buildah, options)),
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...(platform === undefined ? [] : [`--platform=${formatPlatform(normalizePlatform(platformOption(options, context.platform)))}`]),
    ...(noCache ? ['--no-cache'] : []),
    ...(squash === 'all' ? ['--squash'] : []),
    ...(createdAt === undefined ? [] : [`--timestamp=${Math.floor(createdAt.getTime() / 1000)}`]),
    ...(files.ignoreFile === undefined ? [] : [`--ignorefile=${files.ignoreFile}`]),
    `--file=${await containerfilePath(buildah, files, text)}`,
  ]
}

/** A limit above the kernel's or that of whoever builds could not be set, and nothing would run. */
const MOST_FILES = 1_048_576
const MOST_PROCESSES = 32_768

async function isolationArguments(context: Context, buildah: Buildah, options: Options): Promise<string[]> {
  const { isolation = 'oci' } = options
  const [{ command }, { facts }, host] = await Promise.all([context.ociRuntime(), context.machine(), context.host()])
  const files = Math.min(MOST_FILES, facts.hardRlimits.RLIMIT_NOFILE ?? MOST_FILES)
  const processes = Math.min(MOST_PROCESSES, facts.hardRlimits.RLIMIT_NPROC ?? MOST_PROCESSES)
  const limits = [`--ulimit=nofile=${files}:${files}`, `--ulimit=nproc=${processes}:${processes}`]
  if (isolation === 'chroot') return ['--isolation=chroot', ...limits]
  // The first two are where it keeps its state: that of a build goes with the build.
  const flags = [`--root=${join(buildah.directory, 'oci')}`, ...command.globalArgs.slice(2)]
  return [
    '--isolation=oci',
    `--runtime=${command.path}`,
    ...flags.map((flag) => `--runtime-flag=${flag.replace(/^--/, '')}`),
    `--network=${networkOf(context, options)}`,
    ...(host.facts.makesCgroups ? [`--cgroup-parent=${buildah.cgroupParent}`] : []),
    ...limits,
  ]
}

async function secretArguments(buildah: Buildah, { secrets = {} }: Options): Promise<string[]> {
  const directory = join(buildah.directory, 'secrets')
  await mkdir(directory, { mode: 0o700 })
  const words: string[] = []
  for (const [index, [id, secret]] of Object.entries(secrets).entries()) {
    const path = join(directory, String(index))
    const content = typeof secret === 'object' && 'path' in secret ? await readFile(secret.path) : secret
    await writeFile(path, content, { mode: 0o600 })
    words.push(`--secret=id=${id},src=${path}`)
  }
  return words
}

async function containerfilePath(buildah: Buildah, { containerfile }: BuildFiles, text: string): Promise<string> {
  // Buildah takes a list of them, with commas between and perhaps in quotes.
  if ('path' in containerfile && !/[,"]/.test(containerfile.path)) return containerfile.path
  const path = join(buildah.directory, 'Containerfile')
  await writeFile(path, text, { mode: 0o600 })
  return path
}

async function emptyDirectory(buildah: Buildah): Promise<string> {
  const path = join(buildah.directory, 'context')
  await mkdir(path, { mode: 0o700 })
  return path
}
