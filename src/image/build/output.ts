import { PodlibError } from '../../errors/errors.ts'
import type { BuildOutput, BuildProgress, BuildStep } from './options.ts'

/** Of lines that nobody has read, so many are kept. */
const MAX_UNREAD_LINES = 10_000
/** Of the last lines, so many go with an error. */
const TAIL_LINES = 50
const STEP = /^(?:\[(\d+)\/(\d+)\] )?STEP (\d+)\/(\d+): (.*)$/

/** Reports with the same key replace each other while nobody reads them. */
export function buildProgressKey(progress: BuildProgress): string {
  if (progress.phase === 'output') return `output ${progress.number % MAX_UNREAD_LINES}`
  if (progress.phase === 'step') return `step ${progress.stage} ${progress.step}`
  return 'layer' in progress ? progress.layer : `${progress.phase} ${progress.reference}`
}

/** What the builder says, line by line. */
export interface BuildTranscript {
  add(stream: 'stdout' | 'stderr', line: string): void
  /** The error for a build that ended so. */
  failure(program: { readonly argv: readonly string[]; readonly exitCode: number | null; readonly signal: string | null }): PodlibError
}

export function transcribe(report: (progress: BuildStep | BuildOutput) => void): BuildTranscript {
  const tail: string[] = []
  const errors: string[] = []
  let count = 0
  let step: BuildStep | undefined
  return {
    add(stream, line) {
      const begun = stream === 'stdout' ? parseStep(line) : undefined
      if (begun) {
        step = begun
        report(begun)
        return
      }
      tail.push(line)
      if (tail.length > TAIL_LINES) tail.shift()
      if (stream === 'stderr') errors.push(line)
      if (errors.length > TAIL_LINES) errors.shift()
      report({ phase: 'output', stream, line, number: count++ })
    },
    failure(program) {
      const stderr = errors.join('\n').slice(-4096)
      const reason = errors.findLast((line) => /^(Error|error|time=)/.test(line)) ?? errors.at(-1) ?? 'it says nothing'
      const commandExitCode = /exit status (\d+)/.exec(reason)?.[1]
      const details = {
        ...(step && { stage: step.stage, step: step.step, steps: step.steps, instruction: step.instruction }),
        ...(commandExitCode && { commandExitCode: Number(commandExitCode) }),
        output: [...tail],
      }
      return new PodlibError(/no space left on device/.test(stderr) ? 'ERR_NO_SPACE' : 'ERR_BUILD_FAILED', message(step, reason), {
        details,
        program: { ...program, argv: withoutValues(program.argv), stderr },
      })
    },
  }
}

function message(step: BuildStep | undefined, reason: string): string {
  const why = reason.replace(/^Error: /, '').replace(/^(?:error )?building at STEP ".*": /, '')
  return step ? `the build failed at step ${step.step}/${step.steps} (${step.instruction}): ${why}` : `the build failed: ${why}`
}

export function parseStep(line: string): BuildStep | undefined {
  const [, stage = '1', stages = '1', step, steps, instruction = ''] = STEP.exec(line) ?? []
  if (step === undefined) return undefined
  return { phase: 'step', stage: Number(stage), stages: Number(stages), step: Number(step), steps: Number(steps), instruction }
}

/** People put secrets into build arguments, however much they are told not to. */
function withoutValues(argv: readonly string[]): string[] {
  return argv.map((word) => word.replace(/^(--(?:build-arg|env|label)=[^=]*)=.*$/s, '$1=...'))
}

/** Cuts chunks into lines, a very long one into several. */
export function lineSplitter(onLine: (line: string) => void): { write(text: string): void; end(): void } {
  const longest = 65_536
  let rest = ''
  return {
    write(text) {
      const lines = (rest + text).split(/\r?\n|\r(?!$)/)
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
      for (; rest.length > longest; rest = rest.slice(longest)) onLine(rest.slice(0, longest))
    },
    end() {
      if (rest !== '') onLine(rest)
      rest = ''
    },
  }
}
