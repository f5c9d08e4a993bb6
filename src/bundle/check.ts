import { posix } from 'node:path'
import { PodlibError } from '../errors/errors.ts'

/** Who a value came from decides what an error is called and whom it blames. */
export type ValueSource = 'options' | 'image'

const MAX_PATH = 4096

/** The error for a value that cannot be accepted. */
export function refused(source: ValueSource, message: string, details: Record<string, unknown> = {}): PodlibError {
  const code = source === 'image' ? 'ERR_IMAGE_CONFIG_INVALID' : 'ERR_INVALID_ARGUMENT'
  return new PodlibError(code, source === 'image' ? `image config: ${message}` : message, { details })
}

/** Text for an error message: quoted, escaped, short. */
export function shown(value: unknown): string {
  return String(JSON.stringify(value) ?? value).slice(0, 120)
}

/** Control characters end a line, a field or a string early in some file or program further down. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}

/** @throws when the text holds a control character. */
export function checkText(text: string, what: string, source: ValueSource = 'options'): string {
  if (hasControl(text)) throw refused(source, `${what} ${shown(text)} holds a control character`, { what })
  return text
}

/**
 * A container path, normalized. `..` is refused and not resolved: with links in the image it means something else to
 * every program that meets it (CVE-2022-23648).
 */
export function checkContainerPath(path: string, what: string, source: ValueSource = 'options'): string {
  checkText(path, what, source)
  if (!path.startsWith('/')) throw refused(source, `${what} ${shown(path)} is not an absolute path`, { what })
  if (path.length > MAX_PATH) throw refused(source, `${what} is longer than ${MAX_PATH} characters`, { what })
  if (path.split('/').includes('..')) throw refused(source, `${what} ${shown(path)} holds '..'`, { what })
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** Whether `path` is `parent` or lies below it; both normalized. */
export function isWithin(path: string, parent: string): boolean {
  return path === parent || path.startsWith(parent === '/' ? '/' : `${parent}/`)
}

/** What may become part of a path or an argument: the grammar of container, volume and network names. */
export function checkName(name: string, what: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)) return name
  throw refused('options', `invalid ${what} ${shown(name)}: use letters, digits, '_', '.' and '-', beginning with a letter or digit`, {
    what,
  })
}

/** A cgroup is told to the OCI runtime by its path from the root of the hierarchies: from elsewhere each takes it as it likes. */
export function checkCgroupParent(parent: string): string {
  checkText(parent, 'cgroupParent')
  if (parent.startsWith('/') && !parent.split('/').includes('..')) return parent
  throw refused('options', `invalid cgroupParent ${shown(parent)}: give an absolute path such as '/podlib'`)
}
