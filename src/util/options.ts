import { PodlibError } from '../errors/errors.ts'

/** The names of all options of a verb: the compiler sees to it that none is missing, and none too many. */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: true }

/**
 * Refuses options that a verb does not have: a misspelt limit is no limit.
 *
 * @throws ERR_INVALID_ARGUMENT, with the first of them in `details.option` and what there is in `details.known`.
 */
export function checkOptions(verb: string, options: object, names: Readonly<Record<string, true>>): void {
  if (typeof options !== 'object' || options === null)
    throw new PodlibError('ERR_INVALID_ARGUMENT', `the options of ${verb} are an object, not ${shown(options)}`, { details: { verb } })
  const unknown = Object.keys(options).filter((key) => !Object.hasOwn(names, key))
  if (unknown.length === 0) return
  const known = Object.keys(names)
  const text = `unknown option ${unknown.map((key) => `'${key.slice(0, 60)}'`).join(', ')} of ${verb}: it has ${known.join(', ')}`
  throw new PodlibError('ERR_INVALID_ARGUMENT', text, { details: { verb, option: unknown[0], known } })
}

/** Refuses a value that is none of the choices; undefined is left to a default. @throws ERR_INVALID_ARGUMENT */
export function checkChoice(what: string, value: unknown, choices: readonly unknown[]): void {
  if (value === undefined || choices.includes(value)) return
  throw invalidOption(what, value, `choose ${choices.map((choice) => shown(choice)).join(' or ')}`)
}

/** The error for a value that an option cannot have; `advice` says what to give. */
export function invalidOption(what: string, value: unknown, advice: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `invalid ${what} ${shown(value)}: ${advice}`, { details: { what, value: shown(value) } })
}

function shown(value: unknown): string {
  return String(JSON.stringify(value) ?? value).slice(0, 60)
}
