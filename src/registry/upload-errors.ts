import type { PodlibErrorCode } from '../errors/codes.ts'
import { isPodlibError } from '../errors/errors.ts'

/** What a registry answered to a push, as far as it decides what is wrong. */
export interface PushAnswer {
  readonly status: number
  /** The codes in its body. */
  readonly codes: readonly string[]
  /** The token it was shown is good, but not for this. */
  readonly insufficient: boolean
}

interface Verdict {
  readonly code: PodlibErrorCode
  readonly advice: string
}

type Rule = readonly [statuses: readonly number[], codes: readonly string[], code: PodlibErrorCode, advice: string]

const RIGHTS = 'log in with an account that may push to this repository'
const TOO_LARGE = 'the registry, or a proxy before it, takes nothing of this size; raise its limit for the size of bodies'

/** In this order: what an error code says is more than what the status says. */
const COMMON: readonly Rule[] = [
  [[], ['DENIED'], 'ERR_REGISTRY_DENIED', RIGHTS],
  [[405], ['UNSUPPORTED'], 'ERR_REGISTRY_UNSUPPORTED', 'it takes no such pushes: it may be read-only, or a cache of another registry'],
  [[413], [], 'ERR_REGISTRY_BODY_TOO_LARGE', TOO_LARGE],
  [[], ['NAME_INVALID'], 'ERR_INVALID_REFERENCE', 'the registry does not allow this repository name'],
  [[], ['DIGEST_INVALID'], 'ERR_DIGEST_MISMATCH', 'what arrived there is not what was sent, or it does not take this kind of digest'],
  [[403], [], 'ERR_REGISTRY_DENIED', RIGHTS],
]

const NO_REPOSITORY: Rule = [
  [404],
  ['NAME_UNKNOWN'],
  'ERR_REPOSITORY_NOT_FOUND',
  'check its name, or create the repository first: not every registry makes one by a push',
]

const LOST_CODES = ['BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'RANGE_INVALID']
const LOST: Rule = [[404, 416], LOST_CODES, 'ERR_REGISTRY_SERVER', 'the registry has lost the upload, or a part of it; push again']

const MANIFEST: readonly Rule[] = [
  [
    [],
    ['MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN', 'MANIFEST_UNKNOWN'],
    'ERR_BLOB_NOT_FOUND',
    'push what the manifest names before the manifest',
  ],
  [[415], [], 'ERR_MANIFEST_UNSUPPORTED', 'the registry does not take manifests of this type'],
  [[409, 412], ['TAG_IMMUTABLE'], 'ERR_REGISTRY_DENIED', 'this tag may not be moved; push under another one'],
  NO_REPOSITORY,
  [[400, 422], ['MANIFEST_INVALID', 'TAG_INVALID'], 'ERR_MANIFEST_INVALID', 'the registry does not take this manifest under this name'],
]

const RULES = {
  'upload-start': [...COMMON, NO_REPOSITORY],
  upload: [...COMMON, LOST],
  push: [...COMMON, ...MANIFEST],
} as const satisfies Record<string, readonly Rule[]>

/** The kinds of requests that push something. */
export type PushKind = keyof typeof RULES

export function isPushKind(wanted: string): wanted is PushKind {
  return Object.hasOwn(RULES, wanted)
}

/** What an answer to a push means; undefined where it means what it means for every other request. */
export function pushVerdict(kind: PushKind, { status, codes, insufficient }: PushAnswer): Verdict | undefined {
  if (status >= 500) return undefined
  if (status === 401) return insufficient || codes.includes('DENIED') ? { code: 'ERR_REGISTRY_DENIED', advice: RIGHTS } : undefined
  const rules: readonly Rule[] = RULES[kind]
  const rule = rules.find((one) => one[1].some((code) => codes.includes(code))) ?? rules.find((one) => one[0].includes(status))
  return rule && { code: rule[2], advice: rule[3] }
}

/** Whether an upload failed because the registry no longer knows it, or has not the part that it said it had. */
export function isLostUpload(error: unknown, resumedFrom: number): boolean {
  if (!isPodlibError(error)) return false
  const { status } = error.details
  const codes = reportedCodes(error.details.errors)
  if (resumedFrom > 0 && codes.includes('DIGEST_INVALID')) return true
  return status === 404 || status === 416 || codes.some((code) => LOST_CODES.includes(code))
}

function reportedCodes(errors: unknown): string[] {
  return Array.isArray(errors) ? errors.map(({ code }: { code: string }) => code) : []
}
