/** An instruction of a Containerfile, its continued lines joined. */
export interface Instruction {
  /** In capitals. */
  readonly name: string
  /** What follows the name. */
  readonly rest: string
  /** Counted from 1: where it begins. */
  readonly line: number
}

export interface Containerfile {
  readonly instructions: readonly Instruction[]
  /** The character that continues lines and takes the meaning from others. */
  readonly escapeWith: string
}

const DIRECTIVE = /^#\s*([a-z]+)\s*=\s*(\S+)\s*$/i
const HEREDOC = /(?<!<)<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_]*)\2/g
/** Instructions that can have text of other languages behind them. */
const WITH_HEREDOC: ReadonlySet<string> = new Set(['RUN', 'COPY', 'ADD'])

/**
 * Takes a Containerfile apart into instructions. Whether they make sense is for the builder to say.
 *
 * @see man 5 Containerfile
 */
export function parseContainerfile(text: string): Containerfile {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const escapeWith = escapeDirective(lines)
  const instructions: Instruction[] = []
  for (let at = 0; at < lines.length; ) {
    const begin = at
    if (isBlankOrComment(lines[at] as string)) {
      at++
      continue
    }
    let joined = ''
    for (let goesOn = true; goesOn && at < lines.length; at++) {
      const line = lines[at] as string
      // Comments and empty lines do not end an instruction that goes on.
      if (joined !== '' && isBlankOrComment(line)) continue
      const trimmed = line.trimEnd()
      goesOn = trimmed.endsWith(escapeWith)
      joined += goesOn ? `${trimmed.slice(0, -1)}` : line
      if (joined === '') joined = ' '
    }
    const [, name = '', rest = ''] = /^\s*(\S+)\s*([\s\S]*)$/.exec(joined) ?? []
    const instruction = { name: name.toUpperCase(), rest: rest.trim(), line: begin + 1 }
    instructions.push(instruction)
    if (WITH_HEREDOC.has(instruction.name)) at = afterHeredocs(instruction.rest, lines, at)
  }
  return { instructions, escapeWith }
}

function isBlankOrComment(line: string): boolean {
  return /^\s*(#|$)/.test(line)
}

/** Directives stand before everything else. */
function escapeDirective(lines: readonly string[]): string {
  for (const line of lines) {
    const [, name, value] = DIRECTIVE.exec(line) ?? []
    if (name === undefined) return '\\'
    if (name.toLowerCase() === 'escape' && (value === '`' || value === '\\')) return value
  }
  return '\\'
}

/** The line behind the here-documents that an instruction opens; without an end, that is none. */
function afterHeredocs(rest: string, lines: readonly string[], from: number): number {
  let at = from
  for (const [, dash, , word] of rest.matchAll(HEREDOC)) {
    const end = lines.findIndex((line, index) => index >= at && (dash === '-' ? line.replace(/^\t+/, '') : line) === word)
    if (end < 0) return at
    at = end + 1
  }
  return at
}
