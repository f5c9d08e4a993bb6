import { readFileSync } from 'node:fs'
import { errorMessage, PodlibError } from '../errors/errors.ts'
import type { SeccompProfile } from '../spec/seccomp-profile.ts'
import { validateSeccompProfile } from '../spec/validate-container.ts'

/** Reads a seccomp profile in Docker's format. @throws ERR_CONFIG_INVALID */
export function readSeccompProfile(path: string): SeccompProfile {
  try {
    return validateSeccompProfile(JSON.parse(readFileSync(path, 'utf8')), `seccomp profile ${path}`)
  } catch (error) {
    throw new PodlibError('ERR_CONFIG_INVALID', `cannot use the seccomp profile ${path}: ${errorMessage(error)}`, {
      details: { path },
      cause: error,
    })
  }
}
