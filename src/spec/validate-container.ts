import { validate as containerOptions } from './generated/container-options.js'
import { validate as runtimeConfig } from './generated/runtime-config.js'
import { validate as seccompProfile } from './generated/seccomp-profile.js'
import type { RuntimeSpec } from './runtime.ts'
import type { SeccompProfile } from './seccomp-profile.ts'
import { assertValid } from './validator.ts'

/**
 * Checks the shape of what a caller asks for; a field that does not exist is an error, because a misspelt limit is no
 * limit.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function validateContainerOptions<Options extends object>(options: Options): Options {
  assertValid(containerOptions, options, { code: 'ERR_INVALID_ARGUMENT', what: 'container options' })
  return options
}

/**
 * Checks a config.json before the OCI runtime sees it: one of ours, or what a precreate hook made of it.
 *
 * @throws ERR_SPEC_INVALID
 */
export function validateRuntimeSpec(value: unknown): RuntimeSpec {
  assertValid(runtimeConfig, value, { code: 'ERR_SPEC_INVALID', what: 'config.json' })
  return value as RuntimeSpec
}

/** Checks a seccomp profile of the host's. `what` names its file. @throws ERR_SPEC_INVALID */
export function validateSeccompProfile(value: unknown, what = 'seccomp profile'): SeccompProfile {
  assertValid(seccompProfile, value, { code: 'ERR_SPEC_INVALID', what })
  return value as SeccompProfile
}
