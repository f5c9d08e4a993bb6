import type { Digest } from '../spec/digest.ts'
import type { Context } from './context.ts'

/** Runs `work` while no other chain, in this or another process, makes or removes the same layer. */
export function withLayer<T>(context: Context, diffId: Digest, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  return context.locks.withLock({ kind: 'layer', id: diffId }, work, { signal })
}
