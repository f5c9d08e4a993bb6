import type { Context } from '../lifecycle/context.ts'
import type { Platform } from '../spec/platform.ts'
import type { Requirements } from '../trust/policy.ts'
import type { PolicyScope } from '../trust/scopes.ts'
import type { TrustDecision } from '../trust/verifier.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { platformOption } from './platform-option.ts'

/** @public */
export interface EvaluateTrustOptions {
  /** Which image of an index. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  readonly signal?: AbortSignal
}

const EVALUATE_OPTIONS: OptionNames<EvaluateTrustOptions> = { platform: true, signal: true }

/** What is asked of the images of a scope. The default of the policy has no transport, that of a transport the scope `''`. @public */
export interface TrustScope extends PolicyScope {
  /** All of them must accept an image. */
  readonly requirements: Requirements
  /** Where simple-signing signatures of images in registries are. */
  readonly lookaside: string | undefined
  /** Whether cosign attachments are looked for beside such images. */
  readonly useSigstoreAttachments: boolean
}

/** The signature policy in force. @public */
export interface TrustOverview {
  /** The policy's file or what else it is called. */
  readonly policy: string
  /** The default first. */
  readonly scopes: readonly TrustScope[]
}

/** Which images may come into the store, and why. `podlib/trust` has the same without a runtime. @public */
export class ImageTrust {
  readonly #context: Context

  /** @internal */
  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Asks the policy about an image without pulling it: by the name or place that `images.pull` takes. Only its manifest
   * and what signatures the policy asks for are fetched. A denial is an answer here; the same decision is
   * `details.decision` of the ERR_TRUST_DENIED that a pull would end with. What comes after the first requirement that
   * denies is not asked.
   *
   * @example
   * ```ts
   * const { accepted, scope, requirements } = await runtime.trust.evaluate('quay.io/team/app:1')
   * if (!accepted) console.log(scope, requirements.map(({ type, reason }) => `${type}: ${reason}`))
   * ```
   * @throws ERR_POLICY_MISSING, ERR_POLICY_INVALID, ERR_SHORT_NAME, ERR_REGISTRY_*, ERR_MANIFEST_*, ERR_DIGEST_MISMATCH,
   * ERR_PROGRAM_MISSING
   */
  async evaluate(name: string, options: EvaluateTrustOptions = {}): Promise<TrustDecision> {
    checkOptions('trust.evaluate', options, EVALUATE_OPTIONS)
    const platform = platformOption(options, this.#context.platform)
    const { evaluateTrust } = await import('./evaluate-trust.ts')
    return evaluateTrust(this.#context, name, { platform, signal: options.signal })
  }

  /** What is asked of images, by scope, and where signatures are looked for. @throws ERR_POLICY_MISSING, ERR_POLICY_INVALID */
  async show(): Promise<TrustOverview> {
    const { policy, signatureConfig, home } = await this.#context.trust()
    const [{ defaultLookaside }, { signatureStorageOfScope }] = await Promise.all([
      import('../trust/lookaside.ts'),
      import('../trust/registries-d.ts'),
    ])
    const scopeOf = (transport: string | undefined, scope: string, requirements: Requirements): TrustScope => {
      const inRegistry = transport === undefined || transport === 'docker'
      const storage = inRegistry ? signatureStorageOfScope(signatureConfig, scope) : undefined
      return {
        transport,
        scope,
        requirements,
        lookaside: storage && (storage.lookaside ?? defaultLookaside(home)),
        useSigstoreAttachments: storage?.useSigstoreAttachments === true,
      }
    }
    const scopes = [...policy.transports].flatMap(([transport, byScope]) =>
      [...byScope].map(([scope, requirements]) => scopeOf(transport, scope, requirements)),
    )
    return { policy: policy.source, scopes: [scopeOf(undefined, '', policy.default), ...scopes] }
  }
}
