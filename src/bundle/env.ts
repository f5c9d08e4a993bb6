import type { PodlibError } from '../errors/errors.ts'
import { refused, shown } from './check.ts'
import type { ProcessOptions } from './container-options.ts'

/** `NAME=value` of each variable, whichever of its two forms an environment has. @throws ERR_INVALID_ARGUMENT */
export function envEntries(env: NonNullable<ProcessOptions['env']>): readonly string[] {
  if (Array.isArray(env)) return env
  return Object.entries(env).map(([name, value]) => {
    if (name.includes('=')) throw invalidEntry(name)
    return `${name}=${value}`
  })
}

/** Names only: a value may be a secret. */
export function invalidEntry(entry: string): PodlibError {
  const name = String(entry).split('=')[0]
  return refused('options', `invalid environment entry ${shown(name)}: write NAME=value`)
}
