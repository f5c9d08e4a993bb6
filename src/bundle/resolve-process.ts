import type { ImageRunConfig } from '../spec/image.ts'
import { checkText, checkWorkingDirectory, hasControl, refused, shown, type ValueSource } from './check.ts'
import type { ConfigDefaults } from './config-defaults.ts'
import type { ProcessConfig } from './container-config.ts'
import type { ProcessOptions } from './container-options.ts'
import { envEntries, invalidEntry } from './env.ts'
import { resolveRlimits } from './rlimits.ts'

interface Input {
  readonly options: ProcessOptions
  readonly image: ImageRunConfig
  readonly defaults: ConfigDefaults
  readonly hostname: string | null
}

const MAX_USER = 512

/** The process of a container from options, image and defaults. What is dropped on the way goes into `warnings`. */
export function resolveProcess({ options, image, defaults, hostname }: Input, warnings: string[]): ProcessConfig {
  return {
    args: mergeArgs(options, image),
    env: mergeEnv({ options, image, defaults, hostname }, warnings),
    cwd: resolveCwd(options, image),
    user: resolveUserText(options, image),
    groups: (options.groups ?? []).map((group) => checkText(String(group), 'group')),
    tty: options.tty ?? false,
    stdin: options.stdin ?? false,
    umask: options.umask === undefined ? defaults.umask : Number.parseInt(options.umask, 8),
    rlimits: resolveRlimits(options.ulimits ?? {}),
    oomScoreAdj: options.oomScoreAdj ?? null,
    init: options.init ?? false,
  }
}

/**
 * An entrypoint of the caller's drops the image's Cmd, which was written for the image's entrypoint. One empty string
 * means "no entrypoint at all".
 */
function mergeArgs(options: ProcessOptions, image: ImageRunConfig): string[] {
  const given = typeof options.entrypoint === 'string' ? [options.entrypoint] : options.entrypoint
  const entrypoint = given ?? image.Entrypoint ?? []
  const cleared = entrypoint.length === 1 && entrypoint[0] === ''
  const useImageCommand = !options.command?.length && !given?.length
  const command = useImageCommand ? (image.Cmd ?? []) : (options.command ?? [])
  const args = [...(cleared ? [] : entrypoint), ...command]
  if (args.length === 0) throw refused('options', 'no command to run: neither the options nor the image give an entrypoint or a command')
  if (args.some((arg) => arg.includes('\0'))) throw refused('options', 'an argument of the command holds a NUL character')
  if (args[0] === '') throw refused('options', 'the command to run is an empty string')
  return args
}

/** Defaults, then the image's, then the caller's: the last one of a name wins and keeps the place of the first. */
function mergeEnv({ options, image, defaults, hostname }: Input, warnings: string[]): string[] {
  const env = new Map<string, string>()
  for (const entry of defaults.env) setEntry(env, entry)
  if (hostname !== null) env.set('HOSTNAME', hostname)
  if (options.tty) env.set('TERM', 'xterm')
  for (const entry of image.Env ?? []) {
    // An entry without a value must never be looked up in the host's environment (CVE-2026-57231).
    if (!setEntry(env, entry)) warnings.push(`invalid environment entry of the image dropped: ${shown(entry.split('=')[0]?.slice(0, 40))}`)
  }
  for (const name of options.unsetEnv ?? []) env.delete(name)
  for (const entry of envEntries(options.env ?? {})) {
    if (!setEntry(env, entry)) throw invalidEntry(entry)
  }
  return [...env].map(([name, value]) => `${name}=${value}`)
}

function setEntry(env: Map<string, string>, entry: string): boolean {
  const equals = entry.indexOf('=')
  const name = entry.slice(0, equals)
  if (equals < 1 || entry.includes('\0') || name.includes('*') || hasControl(name)) return false
  env.set(name, entry.slice(equals + 1))
  return true
}

function resolveCwd(options: ProcessOptions, image: ImageRunConfig): string {
  const given = options.cwd
  return checkWorkingDirectory(given ?? (image.WorkingDir || '/'), given === undefined ? 'image' : 'options')
}

function resolveUserText(options: ProcessOptions, image: ImageRunConfig): string {
  const source: ValueSource = options.user === undefined ? 'image' : 'options'
  const user = checkText(options.user ?? image.User ?? '', 'user', source)
  if (user.length > MAX_USER) throw refused(source, `the user is longer than ${MAX_USER} characters`)
  return user
}
