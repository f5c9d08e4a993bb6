import type { Credential } from '../../registry/types.ts'
import type { Platform } from '../../spec/platform.ts'
import type { CopyProgress } from './options.ts'

/** A copy under way: its options, each with a value. */
export interface CopyRun {
  readonly all: boolean
  readonly platform: Platform
  readonly signatures: 'keep' | 'remove'
  readonly credential: Credential | undefined
  readonly report: (progress: CopyProgress) => void
  readonly signal: AbortSignal
}
