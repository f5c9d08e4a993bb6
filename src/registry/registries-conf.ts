import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { Environment } from './types.ts'

/** When a mirror may be used. @public */
export type PullFromMirror = 'all' | 'digest-only' | 'tag-only'

/** A place that holds copies of a registry's repositories. @public */
export interface MirrorConf {
  readonly location: string
  readonly insecure: boolean
  readonly pullFromMirror: PullFromMirror
}

/** What holds for image names with one prefix. @public */
export interface RegistryConf {
  /** `host[:port][/path]`, or `*.domain`. */
  readonly prefix: string
  /** What the prefix is replaced with; undefined leaves names as they are. */
  readonly location: string | undefined
  readonly insecure: boolean
  readonly blocked: boolean
  readonly mirrors: readonly MirrorConf[]
}

/** How a short name with several candidates is taken; podlib never asks. @public */
export type ShortNameMode = 'enforcing' | 'permissive' | 'disabled'

/** registries.conf with its drop-ins. @see containers-registries.conf(5) @public */
export interface RegistriesConf {
  readonly registries: readonly RegistryConf[]
  readonly unqualifiedSearchRegistries: readonly string[]
  readonly shortNameMode: ShortNameMode
  readonly aliases: Readonly<Record<string, string>>
  readonly credentialHelpers: readonly string[]
}

/**
 * Nothing configured. Short names are `enforcing`, unlike podman's default: with several search
 * registries an image must not come from whichever happens to have the name.
 */
export const EMPTY_REGISTRIES_CONF: RegistriesConf = {
  registries: [],
  unqualifiedSearchRegistries: [],
  shortNameMode: 'enforcing',
  aliases: {},
  credentialHelpers: ['containers-auth.json'],
}

/** The files that {@link loadRegistriesConf} reads, least important first; a directory stands for its `*.conf`. @public */
export function registriesConfPaths(env: Environment, home: string): string[] {
  if (env.CONTAINERS_REGISTRIES_CONF) return [env.CONTAINERS_REGISTRIES_CONF]
  const user = join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers')
  return [
    '/etc/containers/registries.conf',
    join(user, 'registries.conf'),
    '/etc/containers/registries.conf.d',
    join(user, 'registries.conf.d'),
  ]
}

/**
 * Reads registries.conf and its drop-ins. Of the main files (paths that end in `.conf`) only the last that
 * exists counts; drop-ins add to it, and later ones win.
 *
 * @throws ERR_CONFIG_INVALID naming the file
 * @public
 */
export async function loadRegistriesConf(paths: readonly string[]): Promise<RegistriesConf> {
  let main: RegistriesConf | undefined
  const dropIns: RegistriesConfFile[] = []
  for (const path of paths) {
    if (path.endsWith('.d')) {
      for (const name of await confNames(path)) dropIns.push(await readConf(join(path, name)))
      continue
    }
    const text = await readText(path)
    if (text !== undefined) main = mergeRegistriesConf(EMPTY_REGISTRIES_CONF, await parseRegistriesConf(text, path))
  }
  return dropIns.reduce(mergeRegistriesConf, main ?? EMPTY_REGISTRIES_CONF)
}

/** One file: what it does not say is absent. */
export type RegistriesConfFile = Partial<RegistriesConf>

/** Parses one file of version 2. @throws ERR_CONFIG_INVALID */
export async function parseRegistriesConf(text: string, path: string): Promise<RegistriesConfFile> {
  const { parse } = await import('smol-toml')
  let document: Record<string, unknown>
  try {
    document = parse(text)
  } catch (error) {
    throw invalid(path, `is not TOML: ${errorMessage(error).split('\n', 1)[0]}`)
  }
  if (document.registries !== undefined) {
    throw invalid(path, "is of version 1 ('[registries.search]'); write it in version 2 ('[[registry]]', 'unqualified-search-registries')")
  }
  const search = document['unqualified-search-registries']
  const helpers = document['credential-helpers']
  const mode = document['short-name-mode']
  return {
    ...(document.registry !== undefined && { registries: tables(document.registry, path).map((table) => registryConf(table, path)) }),
    ...(search !== undefined && { unqualifiedSearchRegistries: strings(search, 'unqualified-search-registries', path).map(trimSlash) }),
    ...(helpers !== undefined && { credentialHelpers: strings(helpers, 'credential-helpers', path) }),
    ...(mode !== undefined &&
      mode !== '' && { shortNameMode: oneOf(mode, ['enforcing', 'permissive', 'disabled'] as const, 'short-name-mode', path) }),
    ...(document.aliases !== undefined && { aliases: aliasesOf(document.aliases, path) }),
  }
}

/** Puts a later file over what is known: prefixes replace whole entries, an empty alias deletes one. */
export function mergeRegistriesConf(base: RegistriesConf, file: RegistriesConfFile): RegistriesConf {
  const replaced = new Set(file.registries?.map(({ prefix }) => prefix))
  const aliases = Object.entries({ ...base.aliases, ...file.aliases }).filter(([, value]) => value !== '')
  return {
    ...base,
    ...file,
    registries: [...base.registries.filter(({ prefix }) => !replaced.has(prefix)), ...(file.registries ?? [])],
    aliases: Object.fromEntries(aliases),
  }
}

function registryConf(table: Record<string, unknown>, path: string): RegistryConf {
  const location = optionalText(table, 'location', path)
  const prefix = optionalText(table, 'prefix', path) ?? location
  if (!prefix) throw invalid(path, 'has a [[registry]] with neither prefix nor location')
  const wildcard = prefix.startsWith('*.')
  if (!location && !wildcard) throw invalid(path, `has no location for the prefix '${prefix}'`)
  if (prefix.includes('*', wildcard ? 1 : 0) || (wildcard && /[:/@]/.test(prefix))) {
    throw invalid(path, `has the prefix '${prefix}'; a wildcard is only allowed as '*.domain'`)
  }
  const digestOnly = flag(table, 'mirror-by-digest-only', path)
  const mirrors = table.mirror === undefined ? [] : tables(table.mirror, path)
  return {
    prefix,
    location,
    insecure: flag(table, 'insecure', path),
    blocked: flag(table, 'blocked', path),
    mirrors: mirrors.map((mirror) => mirrorConf(mirror, { prefix, digestOnly, path })),
  }
}

function mirrorConf(
  table: Record<string, unknown>,
  { prefix, digestOnly, path }: { prefix: string; digestOnly: boolean; path: string },
): MirrorConf {
  const location = optionalText(table, 'location', path)
  if (!location) throw invalid(path, `has a mirror without location for the prefix '${prefix}'`)
  const pull = table['pull-from-mirror']
  if (pull !== undefined && digestOnly)
    throw invalid(path, `sets both mirror-by-digest-only and pull-from-mirror for the prefix '${prefix}'`)
  const asked = pull === undefined ? 'all' : oneOf(pull, ['all', 'digest-only', 'tag-only'] as const, 'pull-from-mirror', path)
  return { location, insecure: flag(table, 'insecure', path), pullFromMirror: digestOnly ? 'digest-only' : asked }
}

function aliasesOf(value: unknown, path: string): Record<string, string> {
  const [table] = tables([value], path)
  for (const [name, target] of Object.entries(table ?? {})) {
    if (typeof target !== 'string' || name === '__proto__') throw invalid(path, `has an alias '${name}' that is not a string`)
  }
  return table as Record<string, string>
}

function tables(value: unknown, path: string): Record<string, unknown>[] {
  const isTable = (entry: unknown) => typeof entry === 'object' && entry !== null && !Array.isArray(entry)
  if (!Array.isArray(value) || !value.every(isTable)) throw invalid(path, 'has something else where tables are expected')
  return value as Record<string, unknown>[]
}

function strings(value: unknown, name: string, path: string): string[] {
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string'))
    throw invalid(path, `has a '${name}' that is no list of strings`)
  return value as string[]
}

function optionalText(table: Record<string, unknown>, name: string, path: string): string | undefined {
  const value = table[name]
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw invalid(path, `has a '${name}' that is no string`)
  if (/^\w+:\/\//.test(value)) throw invalid(path, `has the ${name} '${value}'; leave out the scheme`)
  return trimSlash(value)
}

function flag(table: Record<string, unknown>, name: string, path: string): boolean {
  const value = table[name] ?? false
  if (typeof value !== 'boolean') throw invalid(path, `has a '${name}' that is neither true nor false`)
  return value
}

function oneOf<Word extends string>(value: unknown, words: readonly Word[], name: string, path: string): Word {
  const found = words.find((word) => word === value)
  if (found === undefined) throw invalid(path, `has a '${name}' other than ${words.join(', ')}`)
  return found
}

function trimSlash(value: string): string {
  return value.replace(/\/+$/, '')
}

async function readConf(path: string): Promise<RegistriesConfFile> {
  return parseRegistriesConf((await readText(path)) ?? '', path)
}

async function confNames(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith('.conf')).sort()
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EACCES') return []
    throw error
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw invalid(path, `cannot be read: ${errorMessage(error)}`)
  }
}

function invalid(path: string, why: string): PodlibError {
  return new PodlibError('ERR_CONFIG_INVALID', `${path} ${why}`, { details: { path } })
}
