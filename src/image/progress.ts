import type { Digest } from '../spec/digest.ts'
import type { AcquireProgress } from './acquire.ts'

/**
 * What a pull or load is at. Layers report for themselves, several at a time.
 *
 * @public
 */
export type PullProgress =
  | { readonly phase: 'resolve' | 'manifest' | 'verify' | 'commit'; readonly reference: string }
  | {
      /** `exists`: it was in the store; `ready`: it is now. */
      readonly phase: 'download' | 'exists' | 'ready'
      /** Digest of the layer's blob, or its diff ID where no manifest names a blob. */
      readonly layer: Digest
      /** Of the blob, read so far. */
      readonly bytes: number
      /** 0 when nobody says it. */
      readonly totalBytes: number
      /** Of the uncompressed layer, written so far. */
      readonly unpackedBytes: number
    }

/** What is at work, as the user knows it. */
export function pullProgress(progress: AcquireProgress, reference: string): PullProgress {
  if (!('bytes' in progress)) return { ...progress, reference }
  // Only an import has a layer that nothing names, and that reports in its own words.
  return { ...progress, layer: progress.layer as Digest }
}

/** Reports of one layer replace each other while nobody reads them. */
export function progressKey(progress: PullProgress): string {
  return 'layer' in progress ? progress.layer : progress.phase
}
