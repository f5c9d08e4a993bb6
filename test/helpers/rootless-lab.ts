import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from '@jest/globals'
import type { RuntimeOptions } from '../../src/index.ts'
import { type Ability, lacking } from './abilities.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { writeOwnersImage } from './owners-image.ts'
import { ACCEPT_ANYTHING, eventually } from './runtime-store.ts'
import { writeSmallImage } from './small-image.ts'
import { type UnprivilegedUser, unprivilegedUser } from './unprivileged-user.ts'

export const ROOTLESS_NEEDS: readonly Ability[] = [
  'root',
  'user namespaces',
  'overlay in user namespaces',
  'newuidmap',
  'crun',
  'conmon',
  'docker-registry',
  'skopeo',
]

/** A user, and a registry with two images; there from the first test to the last. */
export interface RootlessLab {
  readonly user: UnprivilegedUser
  /** What the user opens a runtime with. */
  readonly options: RuntimeOptions
  /** Busybox. */
  readonly small: string
  /** Busybox and files of many owners. */
  readonly owners: string
  readonly runRoot: string
  readonly root: string
  /** The pause process that the store has recorded. */
  pausePid(): number
  /** Waits until no process of the user is left, and none of its mounts. */
  expectNothingLeft(): Promise<void>
}

/** Call it in the body of a test file. */
export function rootlessLab(): () => RootlessLab {
  let lab: RootlessLab | undefined
  let registry: DockerRegistry | undefined
  beforeAll(async () => {
    if (lacking(ROOTLESS_NEEDS).length > 0) return
    registry = await startDockerRegistry()
    await pushImages(registry)
    lab = makeLab(unprivilegedUser(), registry.host)
  }, 60_000)
  afterAll(async () => {
    try {
      await lab?.expectNothingLeft()
    } finally {
      lab?.user.end()
      await registry?.[Symbol.asyncDispose]()
    }
  }, 30_000)
  return () => lab as RootlessLab
}

async function pushImages(registry: DockerRegistry): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'podlib-images-'))
  try {
    const [small, owners] = [join(work, 'small'), join(work, 'owners')]
    await writeSmallImage(small)
    await writeOwnersImage(owners, small)
    await registry.push(small, 'latest', 'small:latest')
    await registry.push(owners, 'latest', 'owners:latest')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function makeLab(user: UnprivilegedUser, registry: string): RootlessLab {
  const runRoot = join(user.runtimeDirectory, 'podlib')
  return {
    user,
    options: { policy: ACCEPT_ANYTHING, registriesConf: '/dev/null', insecureRegistries: [registry] },
    small: `${registry}/small:latest`,
    owners: `${registry}/owners:latest`,
    runRoot,
    root: join(user.home, '.local/share/podlib'),
    pausePid: () => (JSON.parse(readFileSync(join(runRoot, 'pause.json'), 'utf8')) as { pid: number }).pid,
    async expectNothingLeft() {
      await eventually(() => expect(user.processes()).toEqual([]))
      expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(user.home)
    },
  }
}
