/**
 * Hook files are written for Go's regexp (RE2 syntax). What JavaScript writes differently is translated; what Go does
 * not have is refused, so that a pattern means the same to every program that reads the file.
 *
 * @see https://github.com/google/re2/wiki/Syntax
 * @throws SyntaxError
 */
export function compilePattern(pattern: string): RegExp {
  const { flags, rest } = leadingFlags(pattern)
  if (/\(\?(?:[=!]|<[=!])/.test(rest)) throw new SyntaxError('look-around is not part of RE2 syntax')
  if (/(?:^|[^\\])(?:\\\\)*\\(?:[1-9]|k<)/.test(rest)) throw new SyntaxError('back-references are not part of RE2 syntax')
  return new RegExp(translate(rest), flags)
}

function leadingFlags(pattern: string): { flags: string; rest: string } {
  const match = /^\(\?([ims]+)\)/.exec(pattern)
  return { flags: [...new Set(match?.[1] ?? '')].join(''), rest: pattern.slice(match?.[0].length ?? 0) }
}

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: '\\t ',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
}

function translate(pattern: string): string {
  return pattern
    .replace(/\[:(\^?)(\w+):\]/g, (_, not: string, name: string) => {
      const members = Object.hasOwn(POSIX_CLASSES, name) ? POSIX_CLASSES[name] : undefined
      if (members === undefined || not) throw new SyntaxError(`unknown character class [:${not}${name}:]`)
      return members
    })
    .replace(/\(\?P</g, '(?<')
    .replace(/\\A/g, '^')
    .replace(/\\z/g, '$')
}
