/** How much evidence is looked at for one digest. @public */
export const TRUST_LIMITS = {
  /** Signatures of one kind. */
  signatures: 128,
  /** One signature blob, payload, bundle or attachment manifest. */
  bytes: 4 << 20,
  /** Everything of one kind together. */
  totalBytes: 32 << 20,
  /** What is kept of it with one manifest of a store, as base64. */
  keptBytes: 4 << 20,
  /** Transparency log entries, or timestamps, of one bundle. */
  logEntries: 32,
  /** Certificates of one chain. */
  certificates: 16,
} as const

/** Bounds a fetch. A source that would return more must fail or stop. @public */
export interface FetchLimits {
  readonly maxBytes: number
  readonly signal: AbortSignal | undefined
}
