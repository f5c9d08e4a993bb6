import { formatReference, parseReference } from '../spec/reference.ts'

/** The tag or name of an image in an OCI layout. */
export const REF_NAME = 'org.opencontainers.image.ref.name'
/** The full name, as Docker and containerd write it. */
export const CONTAINERD_NAME = 'io.containerd.image.name'
const MAX_NAMES = 1000

/**
 * The full names that an archive gives an image. What is no name is left out: many tools write a bare tag (`latest`) into
 * an OCI layout, which says nothing about what the image is called.
 *
 * @param defaultRegistry - of names without one: Docker writes `alpine:3.20` for an image of Docker Hub
 */
export function fullNames(names: readonly string[], defaultRegistry: 'docker.io' | 'localhost'): string[] {
  const full = names.slice(0, MAX_NAMES).flatMap((name) => fullName(name, defaultRegistry) ?? [])
  return [...new Set(full)]
}

function fullName(name: string, defaultRegistry: string): string | undefined {
  if (!/[:/]/.test(name)) return undefined
  try {
    const reference = parseReference(name, { defaultRegistry })
    return reference.digest ? undefined : formatReference(reference)
  } catch {
    return undefined
  }
}
