import type { SpecHook } from './runtime.ts'

/** A hook file of version 1.0.0 (oci-hooks(5)). @public */
export interface HookFile {
  readonly version: '1.0.0'
  readonly hook: Readonly<SpecHook>
  readonly when: HookConditions
  /** Stages of the OCI runtime, or of the program that uses podlib. */
  readonly stages: readonly string[]
}

/** When a hook runs: all that is given must hold, and something must be given. @public */
export interface HookConditions {
  readonly always?: boolean
  /** Regular expressions: for each key and value, some annotation must match both. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Regular expressions, one of which must match the program to run. */
  readonly commands?: readonly string[]
  /** Never true when `false`: that is how libpod reads it. */
  readonly hasBindMounts?: boolean
}

/** A hook file of version 0.1.0: every list has two spellings, and any one condition is enough. */
export interface OldHookFile {
  readonly version?: '' | '0.1.0'
  readonly hook: string
  readonly arguments?: readonly string[]
  readonly stages?: readonly string[]
  readonly stage?: readonly string[]
  readonly cmds?: readonly string[]
  readonly cmd?: readonly string[]
  readonly annotations?: readonly string[]
  readonly annotation?: readonly string[]
  readonly hasbindmounts?: boolean
}
