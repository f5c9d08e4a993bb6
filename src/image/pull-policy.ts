import { checkChoice } from '../util/options.ts'

/**
 * When a registry is asked: `always`; only when the image is `missing` from the store; `never`; or always, but to pull only
 * what is `newer` than the image of that name in the store (one small request if it is not).
 *
 * @public
 */
export type PullPolicy = 'always' | 'missing' | 'newer' | 'never'

export const PULL_POLICIES: readonly PullPolicy[] = ['always', 'missing', 'newer', 'never']

/** @throws ERR_INVALID_ARGUMENT */
export function checkPullPolicy(policy: PullPolicy | undefined): void {
  checkChoice('pull policy', policy, PULL_POLICIES)
}
