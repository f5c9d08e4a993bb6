import { PodlibError } from '../errors/errors.ts'
import { formatReference, isShortName, parseReference, type Reference } from '../spec/reference.ts'

/**
 * Those of `names` that a text can mean. A short name means the one name that ends in it.
 *
 * @param names - full names; asked for only when they are needed
 * @throws ERR_IMAGE_AMBIGUOUS
 */
export function matchName(text: string, names: () => ReadonlySet<string>): string[] {
  const reference = tryParse(text)
  if (reference === undefined || reference.digest) return []
  if (!isShortName(text)) return [formatReference(reference)]
  const written = text.includes(':') ? text : `${text}:latest`
  const known = names()
  const matching = [...known].filter((name) => name.endsWith(`/${written}`))
  const preferred = [`docker.io/library/${written}`, `localhost/${written}`].find((name) => known.has(name))
  if (preferred) return [preferred]
  if (matching.length > 1) throw ambiguous(text, matching)
  return matching
}

export function ambiguous(nameOrId: string, candidates: readonly string[]): PodlibError {
  return new PodlibError('ERR_IMAGE_AMBIGUOUS', `${JSON.stringify(nameOrId)} can mean ${candidates.join(', ')}: say which`, {
    details: { image: nameOrId, candidates },
  })
}

function tryParse(text: string): Reference | undefined {
  try {
    return parseReference(text, { defaultRegistry: 'localhost' })
  } catch {
    return undefined
  }
}
