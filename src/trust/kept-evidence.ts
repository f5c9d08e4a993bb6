import { type Digest, digestAlgorithm, digestOf } from '../spec/digest.ts'
import type { CosignSignature } from './cosign.ts'
import { TRUST_LIMITS } from './limits.ts'
import { Rejection } from './rejection.ts'
import { formatStored } from './signature-blob.ts'
import type { CosignAttachment, SignatureSources } from './sources.ts'

/** What one source answered about one digest, to be judged again without it. JSON. */
export interface KeptAnswer {
  readonly kind: keyof SignatureSources
  readonly digest: Digest
  /** Base64. Cosign signatures of an attachment are in the form of files beside an image: `\0sigstore-json\n{...}`. */
  readonly items: readonly string[]
  /** Why there is less than the source had. */
  readonly missing?: string
}

/** Sources that pass on what others answer, and remember it. */
export interface RecordedSources {
  readonly sources: SignatureSources
  /** What was asked for by now. An answer that was not read to its end is without items. */
  answers(): readonly KeptAnswer[]
}

interface Answer extends KeptAnswer {
  readonly items: string[]
  missing?: string
}

/** Remembers what sources answer, up to a bound. Nothing is asked for that a requirement does not ask for. */
export function recordSources({ signatures, attachment, bundles }: SignatureSources): RecordedSources {
  const answers: Answer[] = []
  let room: number = TRUST_LIMITS.keptBytes
  const keep = (answer: Answer, bytes: Uint8Array) => {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
    if (text.length > room) answer.missing = 'the signatures were too large to be kept'
    else {
      room -= text.length
      answer.items.push(text)
    }
  }
  const listed = (kind: 'signatures' | 'bundles', source: NonNullable<SignatureSources['bundles']>): typeof source =>
    async function* record(digest, limits) {
      const read: Uint8Array[] = []
      const answer: Answer = { kind, digest, items: [], missing: 'there were more or larger signatures than are looked at' }
      answers.push(answer)
      for await (const bytes of source(digest, limits)) {
        read.push(bytes)
        yield bytes
      }
      delete answer.missing
      for (const bytes of read) keep(answer, bytes)
    }
  return {
    sources: {
      ...(signatures && { signatures: listed('signatures', signatures) }),
      ...(bundles && { bundles: listed('bundles', bundles) }),
      ...(attachment && {
        async attachment(digest, limits) {
          const found = await attachment(digest, limits)
          const answer: Answer = { kind: 'attachment', digest, items: [] }
          answers.push(answer)
          return found && recordBlobs(found, (signature) => keep(answer, formatStored(signature)))
        },
      }),
    },
    answers: () => answers,
  }
}

function recordBlobs(attachment: CosignAttachment, keep: (signature: CosignSignature) => void): CosignAttachment {
  return {
    ...attachment,
    async blob(descriptor, limits) {
      const payload = await attachment.blob(descriptor, limits)
      const proven = digestOf(payload, digestAlgorithm(descriptor.digest)) === descriptor.digest
      if (proven) keep({ payload, annotations: new Map(Object.entries(descriptor.annotations ?? {})) })
      return payload
    },
  }
}

const NOT_FETCHED = 'none was fetched when the image came, as the policy asked for none: pull the image again'

/**
 * Sources that answer what others answered once. Asked for what they were not, they say so, which is a reason to refuse
 * and no failure.
 *
 * @param kinds - those that exist for this image; the others are not missed
 */
export function replaySources(answers: readonly KeptAnswer[], kinds: readonly KeptAnswer['kind'][]): SignatureSources {
  const answerTo = (kind: KeptAnswer['kind'], digest: Digest): KeptAnswer => {
    const found = answers.find((answer) => answer.kind === kind && answer.digest === digest)
    return found ?? { kind, digest, items: [], missing: NOT_FETCHED }
  }
  // Signatures of an attachment are files now, and come with the files.
  const listed = (kind: 'signatures' | 'bundles', itemKinds: readonly KeptAnswer['kind'][]) =>
    async function* replay(digest: Digest) {
      for (const item of itemKinds.flatMap((itemKind) => answerTo(itemKind, digest).items)) yield Buffer.from(item, 'base64')
      throwIfMissing(answerTo(kind, digest))
    }
  return {
    ...(kinds.includes('signatures') && { signatures: listed('signatures', ['signatures', 'attachment']) }),
    ...(kinds.includes('bundles') && { bundles: listed('bundles', ['bundles']) }),
    ...(kinds.includes('attachment') && {
      async attachment(digest: Digest) {
        throwIfMissing(answerTo('attachment', digest))
        return undefined
      },
    }),
  }
}

function throwIfMissing({ missing }: KeptAnswer): void {
  if (missing !== undefined) throw new Rejection(missing)
}
