import { PodlibError } from '../errors/errors.ts'
import { asNonEmptyArray, asObject, asText, at, exactMembers, parseJson } from './json-shape.ts'
import type { Policy, Requirement, Requirements } from './policy.ts'
import { isRejection, quote, Rejection } from './rejection.ts'
import { parseSignedBy, parseSigstoreBundle, parseSigstoreSigned } from './requirement-parse.ts'
import { parseSignedIdentity } from './signed-identity-parse.ts'

/** Transports that a policy may name. Any other name is a typing error that would leave a scope without effect. */
const TRANSPORTS: ReadonlySet<string> = new Set([
  'atomic',
  'containers-storage',
  'dir',
  'docker',
  'docker-archive',
  'docker-daemon',
  'oci',
  'oci-archive',
  'ostree',
  'sif',
  'tarball',
])
const PATH_TRANSPORTS: ReadonlySet<string> = new Set(['dir', 'oci', 'oci-archive', 'sif'])
const SCOPELESS: ReadonlySet<string> = new Set(['docker-archive', 'tarball'])

/**
 * Checks a policy: the text of a policy.json, or the same as an object. One unknown, repeated or malformed
 * member refuses the whole of it, because a requirement that is silently dropped is consent.
 *
 * @param source - what messages call it, usually its path
 * @throws ERR_POLICY_INVALID with the JSON path
 * @see man 5 containers-policy.json
 * @public
 */
export function parsePolicy(document: string | Uint8Array | object, source = 'the policy object'): Policy {
  try {
    return readPolicy(isText(document) ? parseJson(document, 'policy') : document, source)
  } catch (error) {
    if (!isRejection(error)) throw error
    throw new PodlibError('ERR_POLICY_INVALID', `the signature policy ${source} is invalid: ${error.message}`, {
      details: { source, path: error.path ?? '$' },
    })
  }
}

// Not instanceof: bytes may come from another realm.
function isText(document: string | object): document is string | Uint8Array {
  return typeof document === 'string' || ArrayBuffer.isView(document)
}

function readPolicy(document: unknown, source: string): Policy {
  const root = exactMembers(document, '$', { required: ['default'], optional: ['transports'] })
  const transports = Object.hasOwn(root, 'transports') ? Object.entries(asObject(root.transports, '$.transports')) : []
  return {
    source,
    default: readRequirements(root.default, '$.default'),
    transports: new Map(transports.map(([name, scopes]) => [name, readScopes(name, scopes)])),
  }
}

function readScopes(transport: string, value: unknown): ReadonlyMap<string, Requirements> {
  const path = at('$.transports', transport)
  if (!TRANSPORTS.has(transport)) throw new Rejection(`unknown transport ${quote(transport)}`, path)
  return new Map(
    Object.entries(asObject(value, path)).map(([scope, requirements]) => {
      checkScope(transport, scope, at(path, scope))
      return [scope, readRequirements(requirements, at(path, scope))]
    }),
  )
}

function checkScope(transport: string, scope: string, path: string): void {
  if (scope === '') return
  if (SCOPELESS.has(transport)) throw new Rejection(`${transport} has no scope but ""`, path)
  if (!PATH_TRANSPORTS.has(transport)) return
  // An unclean path would never equal the resolved path of an image: its requirements would not apply.
  const clean = scope.startsWith('/') && scope.split('/').every((part, index) => index === 0 || !['', '.', '..'].includes(part))
  if (!clean) throw new Rejection(`scope of ${transport} must be an absolute clean path below "/"`, path)
}

function readRequirements(value: unknown, path: string): Requirements {
  return asNonEmptyArray(value, path).map((requirement, index) => readRequirement(requirement, at(path, index)))
}

function readRequirement(value: unknown, path: string): Requirement {
  const type = asText(asObject(value, path).type, at(path, 'type'))
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      exactMembers(value, path, { required: ['type'] })
      return { type }
    case 'signedBaseLayer': {
      const { baseLayerIdentity } = exactMembers(value, path, { required: ['type', 'baseLayerIdentity'] })
      parseSignedIdentity(baseLayerIdentity, at(path, 'baseLayerIdentity'))
      return { type }
    }
    case 'signedBy':
      return parseSignedBy(value, path)
    case 'sigstoreSigned':
      return parseSigstoreSigned(value, path)
    case 'sigstoreBundle':
      return parseSigstoreBundle(value, path)
    default:
      throw new Rejection(`unknown requirement type ${quote(type)}`, at(path, 'type'))
  }
}
