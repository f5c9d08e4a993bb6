import { asObject, asText, at, exactMembers, type JsonObject } from './json-shape.ts'
import type { SignedIdentity } from './policy.ts'
import { quote, Rejection } from './rejection.ts'
import { parseSignedName } from './signed-name.ts'

const PREFIX = /^(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/

/** The `signedIdentity` of a requirement; without one it is matchRepoDigestOrExact. */
export function parseSignedIdentityOf(requirement: JsonObject, path: string): SignedIdentity {
  if (!Object.hasOwn(requirement, 'signedIdentity')) return { type: 'matchRepoDigestOrExact' }
  return parseSignedIdentity(requirement.signedIdentity, at(path, 'signedIdentity'))
}

export function parseSignedIdentity(value: unknown, path: string): SignedIdentity {
  const type = asText(asObject(value, path).type, at(path, 'type'))
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      exactMembers(value, path, { required: ['type'] })
      return { type }
    case 'exactReference': {
      const { dockerReference } = exactMembers(value, path, { required: ['type', 'dockerReference'] })
      return { type, dockerReference: reference(dockerReference, at(path, 'dockerReference')) }
    }
    case 'exactRepository': {
      const { dockerRepository } = exactMembers(value, path, { required: ['type', 'dockerRepository'] })
      return { type, dockerRepository: repository(dockerRepository, at(path, 'dockerRepository')) }
    }
    case 'remapIdentity': {
      const { prefix, signedPrefix } = exactMembers(value, path, { required: ['type', 'prefix', 'signedPrefix'] })
      return { type, prefix: asPrefix(prefix, at(path, 'prefix')), signedPrefix: asPrefix(signedPrefix, at(path, 'signedPrefix')) }
    }
    default:
      throw new Rejection(`unknown signedIdentity type ${quote(type)}`, at(path, 'type'))
  }
}

function reference(value: unknown, path: string): string {
  const text = asText(value, path)
  const name = parseSignedName(text)
  if (name === undefined || (name.tag === undefined && name.digest === undefined)) {
    throw new Rejection('must be an image reference with a tag or digest', path)
  }
  return text
}

function repository(value: unknown, path: string): string {
  const text = asText(value, path)
  const name = parseSignedName(text)
  if (name === undefined || name.tag !== undefined || name.digest !== undefined) {
    throw new Rejection('must be a repository without tag or digest', path)
  }
  return text
}

function asPrefix(value: unknown, path: string): string {
  const text = asText(value, path)
  if (!PREFIX.test(text)) throw new Rejection('must be host[:port], a namespace or a repository, without tag or digest', path)
  return text
}
