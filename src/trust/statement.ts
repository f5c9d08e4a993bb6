import { type Digest, digestAlgorithm, digestHex } from '../spec/digest.ts'
import { asNonEmptyArray, asObject, asText, at, parseJson } from './json-shape.ts'
import { Rejection } from './rejection.ts'

/** An in-toto statement: somebody says something (`predicateType`) about artifacts (`subject`). */
export interface Statement {
  readonly predicateType: string
  /** Digests of the artifacts, as `algorithm:hex`. */
  readonly subjects: ReadonlySet<string>
}

const PAYLOAD_TYPE = 'application/vnd.in-toto+json'
const STATEMENT_TYPES: ReadonlySet<unknown> = new Set(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1'])
const MAX_SUBJECTS = 1024

/**
 * Reads the verified payload of a DSSE envelope. Unlike simple signing, a statement may have members that we do
 * not know; what it is about and what it says are the two that decide.
 *
 * @see https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
 */
export function parseStatement(payload: Buffer, payloadType: string): Statement {
  if (payloadType !== PAYLOAD_TYPE) throw new Rejection('the bundle does not hold an in-toto statement')
  const statement = asObject(parseJson(payload, 'in-toto statement'), '$')
  if (!STATEMENT_TYPES.has(statement._type)) throw new Rejection('is not a type of in-toto statement', '$._type')
  const subjects = asNonEmptyArray(statement.subject, '$.subject')
  if (subjects.length > MAX_SUBJECTS) throw new Rejection(`must not have more than ${MAX_SUBJECTS} entries`, '$.subject')
  return {
    predicateType: asText(statement.predicateType, '$.predicateType'),
    subjects: new Set(subjects.flatMap((subject, index) => digestsOf(subject, at('$.subject', index)))),
  }
}

function digestsOf(subject: unknown, path: string): readonly string[] {
  const digests = asObject(asObject(subject, path).digest, at(path, 'digest'))
  return Object.entries(digests).map(([algorithm, hex]) => `${algorithm}:${asText(hex, at(path, 'digest'))}`)
}

/** Checks that a statement is of an accepted type and about this manifest. */
export function checkStatement(statement: Statement, expected: { digest: Digest; predicateTypes: readonly string[] }): void {
  const { digest, predicateTypes } = expected
  if (!predicateTypes.includes(statement.predicateType)) {
    throw new Rejection(`the bundle is a statement of type ${JSON.stringify(statement.predicateType.slice(0, 200))}`)
  }
  if (!statement.subjects.has(`${digestAlgorithm(digest)}:${digestHex(digest)}`)) throw new Rejection(`the bundle is not about ${digest}`)
}
