import { accessSync, constants, statSync } from 'node:fs'
import { basename, isAbsolute, join } from 'node:path'
import { PodlibError } from '../errors/errors.ts'

/** The package that brings a program, where it is not named like the program itself. */
const PACKAGES: Readonly<Record<string, { readonly debian: string; readonly fedora: string; readonly alpine: string }>> = {
  flock: { debian: 'util-linux', fedora: 'util-linux-core', alpine: 'flock' },
  setpriv: { debian: 'util-linux', fedora: 'util-linux', alpine: 'setpriv' },
  sh: { debian: 'dash', fedora: 'bash', alpine: 'busybox' },
  unshare: { debian: 'util-linux', fedora: 'util-linux-core', alpine: 'util-linux-misc' },
  newuidmap: { debian: 'uidmap', fedora: 'shadow-utils', alpine: 'shadow-uidmap' },
  newgidmap: { debian: 'uidmap', fedora: 'shadow-utils', alpine: 'shadow-uidmap' },
  pasta: { debian: 'passt', fedora: 'passt', alpine: 'passt' },
  gpg: { debian: 'gpg', fedora: 'gnupg2', alpine: 'gnupg' },
}

/** Where distributions put programs, also those that the `PATH` of a service does not name. */
const SYSTEM_DIRECTORIES = ['/usr/local/bin', '/usr/local/sbin', '/usr/bin', '/usr/sbin', '/bin', '/sbin']

export interface FindProgramOptions {
  /** Paths that come before everything else, best first. */
  readonly candidates?: readonly string[] | undefined
  /** Value of `PATH`; the system's directories are tried after it. */
  readonly path?: string | undefined
}

/** The places where a program may be, in the order in which they count. A relative entry of `PATH` is no place. */
export function programCandidates(name: string, { candidates = [], path = '' }: FindProgramOptions): string[] {
  if (isAbsolute(name)) return [name]
  const directories = [...path.split(':'), ...SYSTEM_DIRECTORIES].filter((directory) => isAbsolute(directory))
  return [...new Set([...candidates, ...directories.map((directory) => join(directory, name))])]
}

/**
 * The absolute path of a program, decided once: what runs later cannot be changed by the environment.
 *
 * @throws ERR_PROGRAM_MISSING naming the package that brings it.
 */
export function findProgram(name: string, options: FindProgramOptions = {}): string {
  const tried = programCandidates(name, options)
  const found = tried.find(isExecutable)
  if (found !== undefined) return found
  const key = basename(name)
  const { debian, fedora, alpine } = PACKAGES[key] ?? { debian: key, fedora: key, alpine: key }
  const advice = `install it (Debian: ${debian}, Fedora: ${fedora}, Alpine: ${alpine}) or give its path`
  throw new PodlibError('ERR_PROGRAM_MISSING', `cannot find the program ${name}: ${advice}`, { details: { program: name, tried } })
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
