/** What variables stand for in words of a Containerfile. */
export type Variables = ReadonlyMap<string, string>

const NAME = /^[A-Za-z_][A-Za-z0-9_]*/
const BRACED = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])([^}]*))?\}/

/**
 * A word of a Containerfile with its variables replaced and its quotes taken off. Undefined when it uses a form that only
 * newer builders know.
 *
 * @see Dockerfile reference, "environment replacement"
 */
export function expandWord(word: string, variables: Variables, escapeWith = '\\'): string | undefined {
  let result = ''
  let quote: string | undefined
  for (let at = 0; at < word.length; ) {
    const character = word[at] as string
    if (character === escapeWith && quote !== "'") {
      result += word[at + 1] ?? ''
      at += 2
    } else if (character === quote || (quote === undefined && (character === '"' || character === "'"))) {
      quote = quote === undefined ? character : undefined
      at++
    } else if (character === '$' && quote !== "'") {
      const replaced = replaceVariable(word.slice(at + 1), variables)
      if (replaced === undefined) return undefined
      result += replaced.value
      at += 1 + replaced.length
    } else {
      result += character
      at++
    }
  }
  return result
}

function replaceVariable(text: string, variables: Variables): { readonly value: string; readonly length: number } | undefined {
  if (!text.startsWith('{')) {
    const name = NAME.exec(text)?.[0]
    return name === undefined ? { value: '$', length: 0 } : { value: variables.get(name) ?? '', length: name.length }
  }
  const [whole, name, operator, word = ''] = BRACED.exec(text) ?? []
  if (whole === undefined || name === undefined) return undefined
  const value = variables.get(name)
  // With a colon an empty variable counts as one that is not set.
  const isSet = value !== undefined && !(operator?.startsWith(':') && value === '')
  if (operator === undefined) return { value: value ?? '', length: whole.length }
  const alternative = operator.endsWith('-') ? !isSet : isSet
  const other = operator.endsWith('-') ? (value ?? '') : ''
  return { value: alternative ? (expandWord(word, variables) ?? '') : other, length: whole.length }
}

/** Splits at blanks that stand neither in quotes nor behind the escape character; quotes stay. */
export function splitWords(text: string, escapeWith = '\\'): string[] {
  const words: string[] = []
  let word = ''
  let quote: string | undefined
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (character === escapeWith && quote !== "'") {
      word += character + (text[++at] ?? '')
      continue
    }
    if (character === quote) quote = undefined
    else if (quote === undefined && (character === '"' || character === "'")) quote = character
    if (quote === undefined && /\s/.test(character)) {
      if (word !== '') words.push(word)
      word = ''
    } else word += character
  }
  return word === '' ? words : [...words, word]
}
