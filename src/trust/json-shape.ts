import { errorMessage } from '../errors/errors.ts'
import { parseStrictJson } from '../spec/json.ts'
import { quote, Rejection } from './rejection.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** Parses UTF-8 JSON in which no member may appear twice: two readers of one signed document must see the same. */
export function parseJson(bytes: Uint8Array | string, what: string): unknown {
  try {
    const text = typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return parseStrictJson(text, { what })
  } catch (error) {
    throw new Rejection(`bad JSON: ${errorMessage(error).slice(0, 300)}`)
  }
}

/** The JSON path of a member. */
export function at(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  return /^[A-Za-z_][\w-]*$/.test(key) ? `${path}.${key}` : `${path}[${quote(key)}]`
}

export function asObject(value: unknown, path: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Rejection('must be an object', path)
  return value as JsonObject
}

/** An object that has every required member and none that is neither required nor optional. */
export function exactMembers(
  value: unknown,
  path: string,
  names: { required: readonly string[]; optional?: readonly string[] },
): JsonObject {
  const object = asObject(value, path)
  for (const key of Object.keys(object)) {
    if (!names.required.includes(key) && !names.optional?.includes(key)) throw new Rejection(`unknown member ${quote(key)}`, path)
  }
  for (const key of names.required) {
    if (!Object.hasOwn(object, key)) throw new Rejection(`member ${quote(key)} is missing`, path)
  }
  return object
}

export function asText(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw new Rejection('must be a non-empty string', path)
  return value
}

/** A member that may be absent, but not null or empty. */
export function optionalText(object: JsonObject, key: string, path: string): string | undefined {
  return Object.hasOwn(object, key) ? asText(object[key], at(path, key)) : undefined
}

export function asNonEmptyArray(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw new Rejection('must be a non-empty array', path)
  return value
}

export function asInteger(value: unknown, path: string): number {
  if (!Number.isSafeInteger(value)) throw new Rejection('must be an integer', path)
  return value as number
}

/** Standard base64 with padding, nothing else: `Buffer.from` skips what it does not know. */
export function asBase64(value: unknown, path: string): Buffer {
  const text = asText(value, path)
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new Rejection('must be base64', path)
  return bytes
}

export function asLiteral(value: unknown, expected: string, path: string): void {
  if (value !== expected) throw new Rejection(`must be ${quote(expected)}`, path)
}
