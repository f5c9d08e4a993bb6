import type { Trust } from './lifecycle/context.ts'
import type { ResolvedOptions } from './options.ts'
import type { RegistryClient } from './registry/client-interface.ts'
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

/** A client with the credentials and certificates of options and files. */
export async function openRegistry(options: ResolvedOptions, registries: RegistriesConf): Promise<RegistryClient> {
  const [{ createRegistryClient }, { createCredentialStore }, { certsDirectories }] = await Promise.all([
    import('./registry/registry-client.ts'),
    import('./registry/credentials.ts'),
    import('./registry/tls.ts'),
  ])
  const { env, home, user, authFile, credentials } = options
  const store = createCredentialStore({
    env,
    home,
    uid: user.uid,
    credentialHelpers: registries.credentialHelpers,
    ...(authFile !== undefined && { authFile }),
  })
  return createRegistryClient({
    registries,
    env,
    certsDirectories: certsDirectories(env, home),
    credentials: async (name, signal) => credentials[name.registry] ?? store.lookup(name, signal),
  })
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
