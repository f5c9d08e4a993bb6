import type { PodlibErrorCode } from '../errors/codes.ts'
import { PodlibError } from '../errors/errors.ts'

/** What a generated validator says about a value: ajv's error object without its message. */
interface ValidationError {
  readonly instancePath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
}

/** A validator written by .ci/generate-validators.mjs. */
export interface Validator {
  (value: unknown): boolean
  errors?: readonly ValidationError[] | null
}

/**
 * Throws what a validator finds, as one sentence that names the place.
 *
 * @throws `code`, with the JSON pointer in `details.path`.
 */
export function assertValid(validator: Validator, value: unknown, about: { readonly code: PodlibErrorCode; readonly what: string }): void {
  if (validator(value)) return
  const error = mostTelling(validator.errors ?? [])
  const path = error?.instancePath ?? ''
  const place = path === '' ? about.what : `${about.what}: ${path}`
  throw new PodlibError(about.code, `${place} ${error ? sentence(error) : 'is not valid'}`, { details: { what: about.what, path } })
}

/** Where several forms are allowed, the errors of the form that came furthest say most; the last of equals is the summary. */
function mostTelling(errors: readonly ValidationError[]): ValidationError | undefined {
  const depth = Math.max(0, ...errors.map(({ instancePath }) => instancePath.split('/').length))
  const deepest = errors.filter(({ instancePath }) => instancePath.split('/').length === depth)
  const types = deepest.filter(({ keyword }) => keyword === 'type')
  if (types.length < 2 || types.length < deepest.length - 1) return deepest.find(({ keyword }) => keyword !== 'anyOf') ?? deepest[0]
  return { ...(types[0] as ValidationError), params: { type: types.flatMap(({ params }) => params.type) } }
}

function sentence({ keyword, params }: ValidationError): string {
  switch (keyword) {
    case 'type':
      return `must be ${[params.type].flat(2).join(' or ')}`
    case 'additionalProperties':
      return `has the unknown field ${quoted(params.additionalProperty)}`
    case 'required':
      return `lacks the field ${quoted(params.missingProperty)}`
    case 'const':
      return `must be ${JSON.stringify(params.allowedValue)}`
    case 'enum':
      return `must be one of ${(params.allowedValues as readonly unknown[] | undefined)?.map((value) => JSON.stringify(value)).join(', ')}`
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return `is longer than ${params.limit}`
    case 'minLength':
    case 'minItems':
      return 'is too short'
    case 'pattern':
      return `does not have the form ${params.pattern}`
    case 'propertyNames':
      return `has a field with an invalid name`
    case 'discriminator':
      return `has an unknown ${quoted(params.tag)}`
    default:
      return 'comparison' in params ? `must be ${params.comparison} ${params.limit}` : 'is not valid'
  }
}

function quoted(value: unknown): string {
  return `'${String(value).slice(0, 100)}'`
}
