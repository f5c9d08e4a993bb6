import { PodlibError } from '../errors/errors.ts'
import { validate as hook010 } from './generated/hook-0.1.0.js'
import { validate as hook100 } from './generated/hook-1.0.0.js'
import type { HookFile, OldHookFile } from './hook-file.ts'
import { assertValid } from './validator.ts'

/** A hook file of either version; the version field chooses the schema, and none means the old one. */
export type AnyHookFile = { readonly version: '1.0.0'; readonly file: HookFile } | { readonly version: '0.1.0'; readonly file: OldHookFile }

/** Checks the shape of a hook file. `what` names it. @throws ERR_HOOK_INVALID */
export function validateHookFile(value: unknown, what: string): AnyHookFile {
  const version = (value as { version?: unknown } | null | undefined)?.version ?? ''
  if (version === '1.0.0') {
    assertValid(hook100, value, { code: 'ERR_HOOK_INVALID', what })
    return { version, file: value as HookFile }
  }
  if (version === '' || version === '0.1.0') {
    assertValid(hook010, value, { code: 'ERR_HOOK_INVALID', what })
    return { version: '0.1.0', file: value as OldHookFile }
  }
  const shown = JSON.stringify(version)?.slice(0, 40)
  throw new PodlibError('ERR_HOOK_INVALID', `${what}: unrecognized hook version ${shown}, expected '1.0.0'`, { details: { what } })
}
