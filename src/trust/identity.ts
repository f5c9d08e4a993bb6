import type { Reference } from '../spec/reference.ts'
import type { SignedIdentity } from './policy.ts'
import { formatSignedName, parseSignedName, type SignedName } from './signed-name.ts'

/**
 * Whether the name that a signature states is one that the policy accepts for the image that was asked for.
 *
 * | type | accepts |
 * |---|---|
 * | matchExact | the very same reference, with its tag or digest |
 * | matchRepoDigestOrExact | asked for by tag: the same reference; by digest: any reference of the same repository |
 * | matchRepository | any reference of the same repository: an old image under a new tag passes |
 * | exactReference, exactRepository | what the policy states, whatever was asked for |
 * | remapIdentity | matchRepoDigestOrExact after the prefix of the asked-for name was replaced |
 *
 * @param intended - what the user asked for; undefined for transports whose images have no such name
 * @param signed - the text in the signature, from a stranger until the signature has been verified
 * @see man 5 containers-policy.json, signedIdentity
 */
export function matchesSignedIdentity(rule: SignedIdentity, intended: Reference | undefined, signed: string): boolean {
  const name = parseSignedName(signed)
  if (name === undefined) return false
  switch (rule.type) {
    case 'exactReference':
      return sameReference(parseSignedName(rule.dockerReference), name)
    case 'exactRepository':
      return parseSignedName(rule.dockerRepository)?.name === name.name
    case 'matchRepository':
      return intended?.name === name.name
    case 'matchExact':
      return sameReference(intended, name)
    case 'matchRepoDigestOrExact':
      return matchesRepoDigestOrExact(intended, name)
    case 'remapIdentity':
      return matchesRepoDigestOrExact(intended && remap(intended, rule.prefix, rule.signedPrefix), name)
  }
}

function matchesRepoDigestOrExact(intended: SignedName | undefined, signed: SignedName): boolean {
  if (intended?.digest === undefined) return sameReference(intended, signed)
  // The digest pins the content already. A signed bare name still says nothing about an image.
  return intended.name === signed.name && (signed.tag !== undefined || signed.digest !== undefined)
}

function sameReference(intended: SignedName | undefined, signed: SignedName): boolean {
  if (intended === undefined || (signed.tag === undefined && signed.digest === undefined)) return false
  return formatSignedName(intended) === formatSignedName(signed)
}

// Only a whole path component may be replaced: prefix `host/team` must not touch `host/team-evil`.
function remap(intended: SignedName, prefix: string, signedPrefix: string): SignedName {
  if (intended.name !== prefix && !intended.name.startsWith(`${prefix}/`)) return intended
  return { ...intended, name: signedPrefix + intended.name.slice(prefix.length) }
}
