import type { Context } from '../lifecycle/context.ts'
import type { Platform } from '../spec/platform.ts'
import { parseTransport } from '../transport/parse-transport.ts'
import type { SignatureSources } from '../trust/sources.ts'
import type { TrustDecision } from '../trust/verifier.ts'
import { describeImage } from './image-plan.ts'
import { notOne, placeOfText, signaturesBeside } from './load.ts'
import { type OpenedImage, withImages } from './open-location.ts'
import { firstThatExists } from './pull.ts'
import { registrySource } from './registry-source.ts'
import { signatureSources } from './signature-sources.ts'
import { judgeImage } from './verify.ts'

interface Options {
  readonly platform: Platform
  readonly signal: AbortSignal | undefined
}

/** Asks the policy about an image where it lies. */
export async function evaluateTrust(context: Context, text: string, options: Options): Promise<TrustDecision> {
  // Without a policy nothing is read.
  await context.trust()
  const place = placeOfText(text)
  if (place) {
    const use = async ([image, ...more]: readonly OpenedImage[]) => {
      if (image === undefined || more.length > 0) throw notOne(place, image ? more.length + 1 : 0)
      return judge(context, image, signaturesBeside(image.source), options)
    }
    return withImages(context, place, { dockerHost: context.dockerHost, signal: options.signal, use })
  }
  const location = parseTransport(text)
  return firstThatExists(context, location?.transport === 'docker' ? location.reference : text, async (reference) => {
    const source = await registrySource(context, reference)
    return judge(context, { source, identity: { transport: 'docker', reference } }, await signatureSources(context, reference), options)
  })
}

async function judge(
  context: Context,
  { source, identity }: OpenedImage,
  sources: SignatureSources,
  { platform, signal }: Options,
): Promise<TrustDecision> {
  const { manifestDigest, indexDigest } = await describeImage(source, platform, signal)
  return (await judgeImage(context, { identity, manifestDigest, indexDigest, sources, signal })).decision
}
