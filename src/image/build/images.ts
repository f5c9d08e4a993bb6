import { PodlibError } from '../../errors/errors.ts'
import { formatPlatform, type Platform } from '../../spec/platform.ts'
import { parseTransport } from '../../transport/parse-transport.ts'
import { type Instruction, parseContainerfile } from './instructions.ts'
import { expandWord, splitWords } from './words.ts'

/** An image that a build begins with or copies from. */
export interface BuildImage {
  /** As the Containerfile has it, which is what the builder knows it by. */
  readonly written: string
  /** With the variables replaced. */
  readonly name: string
  /** Of a `FROM --platform`. */
  readonly platform: string | undefined
  readonly line: number
}

export interface BuildImagesInput {
  readonly text: string
  readonly args: Readonly<Record<string, string>>
  readonly target: string | undefined
  /** Names that the caller gave another meaning. */
  readonly contexts: readonly string[]
  readonly platform: Platform
  readonly buildPlatform: Platform
}

interface Stage {
  readonly name: string | undefined
  readonly images: BuildImage[]
  /** Earlier stages that it needs, by number. */
  readonly stages: Set<number>
}

/**
 * The images that a Containerfile needs for its target: of `FROM`, `COPY --from` and `RUN --mount=from`. Stages that the target
 * does not need count for nothing, as for the builder.
 *
 * @throws ERR_CONTAINERFILE_INVALID
 */
export function buildImages(input: BuildImagesInput): BuildImage[] {
  const stages = readStages(input)
  const needed = new Set<number>()
  const visit = (number: number) => {
    if (needed.has(number)) return
    needed.add(number)
    for (const earlier of stages[number]?.stages ?? []) visit(earlier)
  }
  visit(targetStage(stages, input.target))
  return stages.filter((_, number) => needed.has(number)).flatMap(({ images }) => images)
}

function targetStage(stages: readonly Stage[], target: string | undefined): number {
  if (stages.length === 0) throw invalid('the Containerfile has no FROM', {})
  if (target === undefined) return stages.length - 1
  const found = findStage(stages, target)
  if (found !== undefined) return found
  const names = stages.flatMap(({ name }) => (name === undefined ? [] : [name]))
  throw invalid(`the Containerfile has no stage ${JSON.stringify(target)}; its stages are ${names.join(', ') || 'without names'}`, {
    target,
  })
}

function findStage(stages: readonly Stage[], text: string): number | undefined {
  const named = stages.findLastIndex(({ name }) => name === text.toLowerCase())
  if (named >= 0) return named
  return /^\d+$/.test(text) && Number(text) < stages.length ? Number(text) : undefined
}

function readStages({ text, args, contexts, platform, buildPlatform }: BuildImagesInput): Stage[] {
  const { instructions, escapeWith } = parseContainerfile(text)
  const variables = new Map([...platformVariables('TARGET', platform), ...platformVariables('BUILD', buildPlatform)])
  const stages: Stage[] = []
  const known = new Set(contexts)
  const expand = (word: string, { line }: Instruction) => {
    const expanded = expandWord(word, variables, escapeWith)
    if (expanded === undefined) throw invalid(`line ${line}: podlib cannot tell what ${word} stands for`, { line })
    return expanded
  }
  for (const instruction of instructions) {
    const { name, rest, line } = instruction
    const words = splitWords(rest, escapeWith)
    const stage = stages.at(-1)
    if (name === 'FROM') stages.push(readFrom(words, instruction, { stages, known, expand: (word) => expand(word, instruction) }))
    else if (name === 'ARG' && stage === undefined) {
      for (const word of words) {
        const [key = '', ...value] = word.split('=')
        const given = args[key] ?? (value.length > 0 ? expand(value.join('='), instruction) : undefined)
        if (given !== undefined) variables.set(key, given)
      }
    } else if (stage !== undefined) {
      for (const from of sources(name, words)) {
        if (known.has(from)) continue
        const earlier = findStage(stages.slice(0, -1), from)
        if (earlier === undefined) stage.images.push({ written: from, name: from, platform: undefined, line })
        else stage.stages.add(earlier)
      }
    }
  }
  return stages
}

interface FromScope {
  readonly stages: readonly Stage[]
  readonly known: ReadonlySet<string>
  readonly expand: (word: string) => string
}

function readFrom(words: readonly string[], { line }: Instruction, { stages, known, expand }: FromScope): Stage {
  const flags = words.filter((word) => word.startsWith('--'))
  const [written = '', as, alias] = words.filter((word) => !word.startsWith('--'))
  const name = expand(written)
  if (name === '') throw invalid(`line ${line}: FROM ${written} names no image`, { line })
  // A Containerfile may be a stranger's: it must not read archives and directories of this machine.
  if (/^[a-z-]+:\//.test(name) || parseTransport(name) !== undefined)
    throw invalid(`line ${line}: FROM ${name} must name an image of the store or a registry; give others as contexts`, { line })
  const stage: Stage = { name: as?.toLowerCase() === 'as' ? alias?.toLowerCase() : undefined, images: [], stages: new Set() }
  const earlier = stages.findLastIndex((one) => one.name !== undefined && one.name === name.toLowerCase())
  const flag = flags.find((word) => word.startsWith('--platform='))
  const platform = flag && expand(flag.slice('--platform='.length))
  if (earlier >= 0) stage.stages.add(earlier)
  else if (name !== 'scratch' && !known.has(written) && !known.has(name)) {
    stage.images.push({ written, name, platform: platform || undefined, line })
  }
  return stage
}

/** What an instruction copies or mounts from. */
function sources(name: string, words: readonly string[]): string[] {
  const end = words.findIndex((word) => !word.startsWith('--'))
  const flags = (end < 0 ? words : words.slice(0, end)).map((word) => word.replace(/["']/g, ''))
  if (name === 'COPY' || name === 'ADD') return flags.flatMap((flag) => (flag.startsWith('--from=') ? [flag.slice(7)] : []))
  if (name !== 'RUN') return []
  const mounts = flags.filter((flag) => flag.startsWith('--mount=')).flatMap((flag) => flag.slice(8).split(','))
  return mounts.flatMap((part) => (part.startsWith('from=') ? [part.slice(5)] : []))
}

/** @see Dockerfile reference, "automatic platform ARGs in the global scope" */
function platformVariables(prefix: string, platform: Platform): [string, string][] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ]
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): PodlibError {
  return new PodlibError('ERR_CONTAINERFILE_INVALID', message, { details })
}
