import { validate as containerOptions } from './generated/container-options.js'
import { validate as runtimeConfig } from './generated/runtime-config.js'
import type { RuntimeSpec } from './runtime.ts'
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
