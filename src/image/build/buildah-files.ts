import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What Buildah would else take from the host: nothing of a host's or user's settings gets into a build by itself. */
export interface BuildahFiles {
  readonly env: Readonly<Record<string, string>>
  readonly policy: string
  readonly registriesConf: string
}

/**
 * The images that a build needs are pulled by podlib, by its own policy and credentials, and handed over: Buildah itself may
 * take none from anywhere.
 */
const POLICY = {
  default: [{ type: 'reject' }],
  transports: {
    'docker-archive': { '': [{ type: 'insecureAcceptAnything' }] },
    'containers-storage': { '': [{ type: 'insecureAcceptAnything' }] },
  },
}

const CONTAINERS_CONF = `[containers]
default_ulimits = []
default_sysctls = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
hooks_dir = []
`

/** Writes them into a private directory. */
export async function writeBuildahFiles(
  directory: string,
  {
    root,
    runRoot,
    temporary,
    path,
  }: { readonly root: string; readonly runRoot: string; readonly temporary: string; readonly path: string },
): Promise<BuildahFiles> {
  const home = join(directory, 'home')
  const files = {
    policy: join(directory, 'policy.json'),
    registriesConf: join(directory, 'registries.conf'),
    containersConf: join(directory, 'containers.conf'),
    storageConf: join(directory, 'storage.conf'),
  }
  for (const made of [home, root, runRoot, temporary]) await mkdir(made, { recursive: true, mode: 0o700 })
  await writeFile(files.policy, JSON.stringify(POLICY), { mode: 0o600 })
  await writeFile(files.registriesConf, 'unqualified-search-registries = []\nshort-name-mode = "disabled"\n', { mode: 0o600 })
  await writeFile(files.containersConf, CONTAINERS_CONF, { mode: 0o600 })
  await writeFile(files.storageConf, `[storage]\ndriver = "overlay"\ngraphroot = "${root}"\nrunroot = "${runRoot}"\n`, { mode: 0o600 })
  return {
    policy: files.policy,
    registriesConf: files.registriesConf,
    env: {
      PATH: path,
      HOME: home,
      XDG_RUNTIME_DIR: home,
      TMPDIR: temporary,
      CONTAINERS_CONF: files.containersConf,
      CONTAINERS_STORAGE_CONF: files.storageConf,
      CONTAINERS_REGISTRIES_CONF: files.registriesConf,
    },
  }
}
