import { PodlibError } from '../errors/errors.ts'
import type { HookStage, RuntimeSpec, SpecHook, SpecHooks } from '../spec/runtime.ts'
import { type CompiledConditions, type Hook, OCI_STAGES } from './hook.ts'

/** What conditions are asked about. */
export interface HookFacts {
  /** The caller's own annotations: an image must not choose the programs that run on the host. */
  readonly annotations: Readonly<Record<string, string>>
  /** `process.args`; undefined for a configuration without a process, for which commands are not asked. */
  readonly args: readonly string[] | undefined
  /** Whether the caller mounts anything. */
  readonly hasBindMounts: boolean
}

export interface MatchedHooks {
  /** For the configuration, by stage, in the order in which they run. */
  readonly spec: SpecHooks
  /** For the caller to run, by extension stage; a stage of OCI's own is here too when it was declared as one. */
  readonly extension: Readonly<Record<string, readonly SpecHook[]>>
}

/**
 * The hooks of a container, in order of their file names in lower case. `prestart`, which OCI has given up, is written
 * as `createRuntime`: both run at the same moment.
 *
 * @throws ERR_INVALID_ARGUMENT when a hook asks about the command and there is none.
 */
export function matchHooks(hooks: readonly Hook[], facts: HookFacts, extensionStages: readonly string[] = []): MatchedHooks {
  const spec: Partial<Record<HookStage, SpecHook[]>> = {}
  const extension = new Map<string, SpecHook[]>()
  for (const { hook, stages, when } of [...hooks].sort(byName)) {
    if (!conditionsHold(when, facts)) continue
    for (const stage of stages) {
      if (extensionStages.includes(stage)) extension.set(stage, [...(extension.get(stage) ?? []), copyOf(hook)])
      else if (OCI_STAGES.includes(stage as HookStage)) {
        const target = stage === 'prestart' ? 'createRuntime' : (stage as HookStage)
        spec[target] = [...(spec[target] ?? []), copyOf(hook)]
      }
    }
  }
  return { spec, extension: Object.fromEntries(extension) }
}

/** The configuration with hooks behind those that it has. */
export function applyHooks(spec: RuntimeSpec, hooks: SpecHooks): RuntimeSpec {
  const merged: SpecHooks = { ...spec.hooks }
  for (const stage of OCI_STAGES) {
    const added = hooks[stage]
    if (added?.length) merged[stage] = [...(merged[stage] ?? []), ...added.map(copyOf)]
  }
  return Object.keys(merged).length > 0 ? { ...spec, hooks: merged } : spec
}

/**
 * `all` (1.0.0): everything that is given must hold, and something must be given. `any` (0.1.0): one true condition is
 * enough.
 */
export function conditionsHold(when: CompiledConditions, facts: HookFacts): boolean {
  const answers = [
    when.always,
    when.hasBindMounts === undefined ? undefined : when.hasBindMounts && facts.hasBindMounts,
    ...annotationAnswers(when, facts),
    commandAnswer(when, facts),
  ].filter((answer) => answer !== undefined)
  return when.mode === 'any' ? answers.includes(true) : answers.length > 0 && !answers.includes(false)
}

function annotationAnswers({ annotations }: CompiledConditions, facts: HookFacts): boolean[] {
  const entries = Object.entries(facts.annotations)
  return annotations.map(({ key, value }) => entries.some(([name, text]) => key.test(name) && value.test(text)))
}

function commandAnswer({ commands }: CompiledConditions, { args }: HookFacts): boolean | undefined {
  if (commands.length === 0 || args === undefined) return undefined
  const [program] = args
  if (program === undefined) throw new PodlibError('ERR_INVALID_ARGUMENT', 'process.args must have at least one entry for hooks to look at')
  return commands.some((pattern) => pattern.test(program))
}

/** Without `env` a hook has an empty environment: some OCI runtimes would otherwise hand on their own. */
function copyOf(hook: Readonly<SpecHook>): SpecHook {
  return { ...hook, ...(hook.args && { args: [...hook.args] }), env: [...(hook.env ?? [])] }
}

/** By code point, not by the collation of some locale. */
function byName(a: Hook, b: Hook): number {
  const left = [...a.name.toLowerCase()]
  const right = [...b.name.toLowerCase()]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = ((left[i] as string).codePointAt(0) as number) - ((right[i] as string).codePointAt(0) as number)
    if (difference !== 0) return difference
  }
  return left.length - right.length || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}
