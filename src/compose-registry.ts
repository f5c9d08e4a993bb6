import { resolve } from 'node:path'
import type { Trust } from './lifecycle/context.ts'
import type { ResolvedOptions } from './options.ts'
import type { RegistryClient } from './registry/client-interface.ts'
import type { CredentialStore } from './registry/credentials.ts'
import type { RegistriesConf } from './registry/registries-conf.ts'

/** registries.conf, with what the options say about registries added. */
export async function loadRegistries({
  registriesConf,
  searchRegistries,
  insecureRegistries,
  env,
  home,
}: ResolvedOptions): Promise<RegistriesConf> {
  const { loadRegistriesConf, registriesConfPaths } = await import('./registry/registries-conf.ts')
  const loaded = await loadRegistriesConf(registriesConf === undefined ? registriesConfPaths(env, home) : [registriesConf])
  const insecure = insecureRegistries.map((prefix) => ({ prefix, location: prefix, insecure: true, blocked: false, mirrors: [] }))
  return {
    ...loaded,
    registries: [...loaded.registries.filter(({ prefix }) => !insecureRegistries.includes(prefix)), ...insecure],
    ...(searchRegistries && { unqualifiedSearchRegistries: searchRegistries }),
  }
}

/** The credentials of options and files; or of one file, and nowhere else. */
export async function openCredentials(options: ResolvedOptions, registries: RegistriesConf, only?: string): Promise<CredentialStore> {
  const { createCredentialStore } = await import('./registry/credentials.ts')
  const { env, home, user, authFile, credentials } = options
  const common = { env, home, uid: user.uid }
  if (only !== undefined) return createCredentialStore({ ...common, authFile: resolve(only) })
  const { credentialHelpers } = registries
  return createCredentialStore({ ...common, credentialHelpers, given: credentials, ...(authFile !== undefined && { authFile }) })
}

/** A client with the certificates of the options and files. */
export async function openRegistry(
  { env, home, onRegistryWarning }: ResolvedOptions,
  registries: RegistriesConf,
  { lookup }: CredentialStore,
): Promise<RegistryClient> {
  const [{ createRegistryClient }, { certsDirectories }] = await Promise.all([
    import('./registry/registry-client.ts'),
    import('./registry/tls.ts'),
  ])
  const certificates = certsDirectories(env, home)
  return createRegistryClient({ registries, env, certsDirectories: certificates, credentials: lookup, onWarning: onRegistryWarning })
}

/** The policy of the options or of the files, and where signatures are found. */
export async function loadTrust({ policy, home, user }: ResolvedOptions): Promise<Trust> {
  const [{ loadPolicy }, { parsePolicy }, { loadSignatureConfig }] = await Promise.all([
    import('./trust/policy-file.ts'),
    import('./trust/policy-parse.ts'),
    import('./trust/registries-d.ts'),
  ])
  const loaded =
    typeof policy === 'object' ? parsePolicy(policy) : await loadPolicy({ home, ...(policy !== undefined && { path: policy }) })
  return { policy: loaded, signatureConfig: await loadSignatureConfig({ home }), home: user.uid === 0 ? undefined : home }
}
