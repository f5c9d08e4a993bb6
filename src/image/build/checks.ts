import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import { parsePlatform } from '../../spec/platform.ts'
import { formatReference, parseReference } from '../../spec/reference.ts'
import { checkOptions, type OptionNames } from '../../util/options.ts'
import { PULL_POLICIES } from '../pull-policy.ts'
import type { BuildOptions } from './options.ts'

/** What a name in an option may be. */
const KINDS = {
  args: /^[A-Za-z_][A-Za-z0-9_]*$/,
  env: /^[^=\0\s]+$/,
  labels: /^[^=\0]+$/,
  annotations: /^[^=\0]+$/,
  // A comma parts the fields of a secret.
  secrets: /^[A-Za-z0-9_.-]+$/,
  contexts: /^[^=\0\s]+$/,
} as const

const CHOICES = {
  pull: PULL_POLICIES,
  format: ['oci', 'docker'],
  network: ['none', 'host'],
  isolation: ['oci', 'chroot'],
  squash: [true, false, 'all'],
} as const

const BUILD_OPTIONS: OptionNames<BuildOptions> = {
  context: true,
  containerfile: true,
  name: true,
  target: true,
  args: true,
  env: true,
  labels: true,
  annotations: true,
  platform: true,
  pull: true,
  noCache: true,
  squash: true,
  format: true,
  createdAt: true,
  secrets: true,
  contexts: true,
  ignoreFile: true,
  network: true,
  isolation: true,
  signal: true,
}

/** Checks what can be checked without looking at the disk. @throws ERR_INVALID_ARGUMENT, ERR_INVALID_REFERENCE */
export function checkBuildOptions(options: BuildOptions): void {
  checkOptions('images.build', options, BUILD_OPTIONS)
  for (const [option, names] of Object.entries(CHOICES)) {
    const value = options[option as keyof typeof CHOICES]
    if (value !== undefined && !(names as readonly unknown[]).includes(value))
      throw invalid(`${option} is ${names.join(' or ')}, not ${JSON.stringify(value)}`)
  }
  for (const [option, pattern] of Object.entries(KINDS)) {
    for (const [name, value] of Object.entries(options[option as keyof typeof KINDS] ?? {})) {
      if (!pattern.test(name)) throw invalid(`${JSON.stringify(name)} is no name for one of the ${option}`)
      if (typeof value === 'string' ? value.includes('\0') && option !== 'secrets' : typeof value !== 'object' || value === null)
        throw invalid(`${name} of the ${option} has a value that it cannot have`)
    }
  }
  if (options.target !== undefined && !/^[A-Za-z0-9_.-]+$/.test(options.target))
    throw invalid(`${JSON.stringify(options.target)} is no name of a stage`)
  if (options.createdAt !== undefined && Number.isNaN(options.createdAt.getTime())) throw invalid('createdAt is no time')
  if (options.annotations && options.format === 'docker') throw invalid('only images of format oci have annotations')
  if (typeof options.context === 'object' && !(Symbol.asyncIterator in options.context))
    throw invalid('context is neither the path of a directory nor a stream')
  if (typeof options.platform === 'string') parsePlatform(options.platform)
  buildNames(options)
}

/** The names of the image, in full. @throws ERR_INVALID_REFERENCE */
export function buildNames({ name = [] }: Pick<BuildOptions, 'name'>): string[] {
  return [name].flat().map((one) => formatReference(parseReference(one, { defaultRegistry: 'localhost' })))
}

/** Where everything is that a build reads. */
export interface BuildFiles {
  /** Undefined without: a build from text alone. */
  readonly context: string | undefined
  readonly containerfile: { readonly path: string } | { readonly text: string }
  readonly ignoreFile: string | undefined
  /** Further contexts that are directories. */
  readonly directories: ReadonlyMap<string, string>
}

/** The options of a build whose context is on the disk. */
export type BuildFromDirectory = Omit<BuildOptions, 'context'> & { readonly context?: string | undefined }

/** Finds the files of a build. @throws ERR_INVALID_ARGUMENT, ERR_CONTAINERFILE_NOT_FOUND */
export async function findBuildFiles(options: BuildFromDirectory): Promise<BuildFiles> {
  const { containerfile, ignoreFile } = options
  if (options.context === undefined && typeof containerfile !== 'object')
    throw invalid('context says which directory to build from; without one the Containerfile must be given as { text }')
  const context = options.context === undefined ? undefined : await directoryAt(options.context, 'the context')
  const directories = new Map<string, string>()
  for (const [name, value] of Object.entries(options.contexts ?? {})) {
    if (typeof value === 'string') directories.set(name, await directoryAt(value, `the context ${name}`))
  }
  const ignore = ignoreFile === undefined ? undefined : resolve(ignoreFile)
  if (ignore !== undefined && !(await isFile(ignore))) throw invalid(`ignoreFile ${ignore} is no file`)
  const found = typeof containerfile === 'object' ? containerfile : { path: await containerfileIn(context as string, containerfile) }
  return { context, containerfile: found, ignoreFile: ignore, directories }
}

async function containerfileIn(context: string, given: string | undefined): Promise<string> {
  const candidates = (given === undefined ? ['Containerfile', 'Dockerfile'] : [given]).map((name) => resolve(context, name))
  for (const path of candidates) {
    if (!(await isFile(path))) continue
    // Such a file goes through the C preprocessor first: what it names is not known before.
    if (path.endsWith('.in')) throw invalid(`${path} is for the C preprocessor: give what that makes of it`)
    return path
  }
  throw new PodlibError('ERR_CONTAINERFILE_NOT_FOUND', `no Containerfile at ${candidates.join(' or ')}: give containerfile`, {
    details: { context, tried: candidates },
  })
}

async function directoryAt(given: string, what: string): Promise<string> {
  const path = resolve(given)
  const found = await stat(path).catch((error: unknown) => {
    throw invalid(`${what} ${path} cannot be read: ${errorCode(error)}`)
  })
  if (!found.isDirectory()) throw invalid(`${what} ${path} is no directory`)
  return path
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

/** Where the builder's own files go must be a path that its options can hold. @throws ERR_INVALID_ARGUMENT */
export function buildPath(directory: string, ...names: string[]): string {
  if (/[,:"\s]/.test(directory))
    throw invalid(`the path ${directory} has a blank, comma, colon or quote: choose another root and runRoot to build with`)
  return join(directory, ...names)
}

function invalid(message: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `cannot build: ${message}`)
}
