/** One challenge of a `WWW-Authenticate` header. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y
const SPACE = /[ \t]*/y
const SEPARATORS = /[ \t,]*/y

/**
 * Reads the challenges of one or more `WWW-Authenticate` headers, in order. A header may hold several,
 * and commas separate both challenges and parameters: a word is a parameter when `=` follows it, else it
 * is the next scheme. What follows a syntax error is left out.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  if (header === undefined) return []
  return (typeof header === 'string' ? [header] : header).flatMap(parseHeader)
}

function parseHeader(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  while (at < text.length) {
    take(SEPARATORS)
    const word = take(TOKEN)
    if (word === undefined) break
    const spaced = take(SPACE) !== ''
    const current = challenges.at(-1)
    if (text[at] === '=' && current) {
      at++
      take(SPACE)
      const value = text[at] === '"' ? takeQuoted() : take(TOKEN)
      if (value === undefined) break
      const name = word.toLowerCase()
      // RFC 9110 allows a name once; were it there twice, two readers could differ: the first counts.
      if (!current.parameters.has(name)) current.parameters.set(name, value)
      continue
    }
    challenges.push({ scheme: word.toLowerCase(), parameters: new Map() })
    if (spaced) take(TOKEN68)
  }
  return challenges

  function takeQuoted(): string | undefined {
    let value = ''
    for (at++; at < text.length; at++) {
      const character = text[at]
      if (character === '"') {
        at++
        return value
      }
      if (character === '\\') at++
      value += text[at] ?? ''
    }
    return undefined
  }
}
