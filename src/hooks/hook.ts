import { errorMessage, PodlibError } from '../errors/errors.ts'
import type { HookFile, OldHookFile } from '../spec/hook-file.ts'
import type { HookStage, SpecHook } from '../spec/runtime.ts'
import { validateHookFile } from '../spec/validate-hook.ts'
import { compilePattern } from './regex.ts'

/** A hook file that was read: its conditions are compiled and its program exists. */
export interface Hook {
  /** File name without directory: the key that a later directory replaces. */
  readonly name: string
  /** The file that it came from. */
  readonly file: string
  readonly hook: Readonly<SpecHook>
  readonly stages: readonly string[]
  readonly when: CompiledConditions
}

export interface CompiledConditions {
  /** `all` for 1.0.0, `any` for 0.1.0. */
  readonly mode: 'all' | 'any'
  readonly always: boolean | undefined
  readonly annotations: readonly { readonly key: RegExp; readonly value: RegExp }[]
  readonly commands: readonly RegExp[]
  readonly hasBindMounts: boolean | undefined
}

export const OCI_STAGES: readonly HookStage[] = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

/** Makes a hook of the text of a hook file. @throws ERR_HOOK_INVALID */
export function parseHook(
  text: string,
  options: { readonly name: string; readonly file: string; readonly extensionStages: readonly string[] },
): Hook {
  const { name, file, extensionStages } = options
  const parsed = validateHookFile(parseJson(text, file), file)
  const { mode, content } =
    parsed.version === '1.0.0'
      ? { mode: 'all' as const, content: parsed.file }
      : { mode: 'any' as const, content: modernized(parsed.file, file) }
  if (!content.hook.path.startsWith('/')) throw invalid(file, `the path ${JSON.stringify(content.hook.path)} of the hook is not absolute`)
  const unknown = content.stages.find((stage) => !OCI_STAGES.includes(stage as HookStage) && !extensionStages.includes(stage))
  if (unknown !== undefined) throw invalid(file, `unknown stage ${JSON.stringify(unknown)}`)
  return { name, file, hook: content.hook, stages: content.stages, when: compileConditions(content, mode, file) }
}

/** The error for a hook file that cannot be used. */
export function invalid(file: string, why: string, cause?: unknown): PodlibError {
  return new PodlibError('ERR_HOOK_INVALID', `hook file ${file}: ${why}`, { details: { file }, ...(cause !== undefined && { cause }) })
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid(file, 'not JSON', cause)
  }
}

/** A 0.1.0 file in the words of 1.0.0: its annotation patterns look at values whatever their key. */
function modernized(old: OldHookFile, file: string): HookFile {
  const stages = oneOf(file, old, 'stages', 'stage')
  if (stages === undefined) throw invalid(file, "lacks the field 'stages'")
  const commands = oneOf(file, old, 'cmds', 'cmd')
  const annotations = oneOf(file, old, 'annotations', 'annotation')
  return {
    version: '1.0.0',
    hook: { path: old.hook, ...(old.arguments && { args: [old.hook, ...old.arguments] }) },
    when: {
      ...(annotations?.length && { annotations: { '.*': annotations.join('|') } }),
      ...(commands && { commands }),
      ...(old.hasbindmounts !== undefined && { hasBindMounts: old.hasbindmounts }),
    },
    stages,
  }
}

type ListField = 'stages' | 'stage' | 'cmds' | 'cmd' | 'annotations' | 'annotation'

function oneOf(file: string, old: OldHookFile, plural: ListField, singular: ListField): readonly string[] | undefined {
  if (old[plural] && old[singular]) throw invalid(file, `has both '${plural}' and '${singular}'`)
  return old[plural] ?? old[singular]
}

function compileConditions({ when }: HookFile, mode: 'all' | 'any', file: string): CompiledConditions {
  const compile = (pattern: string) => {
    try {
      return compilePattern(pattern)
    } catch (cause) {
      throw invalid(file, `invalid pattern ${JSON.stringify(pattern)}: ${errorMessage(cause)}`, cause)
    }
  }
  return {
    mode,
    always: when.always,
    annotations: Object.entries(when.annotations ?? {}).map(([key, value]) => ({ key: compile(key), value: compile(value) })),
    commands: (when.commands ?? []).map(compile),
    hasBindMounts: when.hasBindMounts,
  }
}
