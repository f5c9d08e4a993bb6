import { homedir, userInfo } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { checkCgroupParent } from './bundle/check.ts'
import type { RegistryWarning } from './registry/types.ts'
import { checkChoice, checkOptions, invalidOption, type OptionNames } from './util/options.ts'

/** How a {@link Runtime} is opened. Everything is optional. @public */
export interface RuntimeOptions {
  /** Directory of images, containers and the state database. @defaultValue `/var/lib/podlib`, or `$XDG_DATA_HOME/podlib` without root */
  readonly root?: string
  /** Directory of what a reboot may lose: locks, mounts, bundles. @defaultValue `/run/podlib`, or without root `$XDG_RUNTIME_DIR/podlib` (`/tmp/podlib-run-UID` where that is not set) */
  readonly runRoot?: string
  /** `'crun'`, `'runc'` or the absolute path of any OCI runtime. @defaultValue `'crun'`, or `'runc'` where only that is found */
  readonly ociRuntime?: string
  /** Absolute path of conmon. @defaultValue looked up in the usual places */
  readonly conmon?: string
  /** Absolute path of Buildah, for `images.build`. @defaultValue looked up in `PATH` when something is built */
  readonly buildah?: string
  /** What images may be pulled: the path of a policy.json or its content. @defaultValue the user's or system's containers policy.json; none is an error */
  readonly policy?: string | object
  /** Path of registries.conf. @defaultValue the user's or the system's */
  readonly registriesConf?: string
  /** Registries tried for short names such as `alpine`. @defaultValue those of registries.conf */
  readonly searchRegistries?: readonly string[]
  /** Registries (`host` or `host:port`) that are spoken to without TLS verification, and over plain HTTP. @defaultValue [] */
  readonly insecureRegistries?: readonly string[]
  /** Path of an auth.json. @defaultValue the places that podman and docker use */
  readonly authFile?: string
  /** User names and passwords by registry host; they win over every file and are never sent to another host. @defaultValue \{\} */
  readonly credentials?: Readonly<Record<string, { readonly username: string; readonly password: string }>>
  /** Called with what registries warn of, and when a mirror sent other bytes than it should have. Must not throw. @defaultValue nobody is told */
  readonly onRegistryWarning?: (warning: RegistryWarning) => void
  /** Network of a container that does not say. @defaultValue `'none'` */
  readonly network?: 'none' | 'host'
  /** Log driver of a container that does not say. @defaultValue `'k8s-file'` */
  readonly logDriver?: 'k8s-file' | 'none'
  /** Directories of OCI hooks, in order of increasing precedence. @defaultValue [] */
  readonly hooksDirectories?: readonly string[]
  /** cgroup that containers' cgroups are made in. @defaultValue `/podlib` */
  readonly cgroupParent?: string
  /**
   * Roots of stores of podman, buildah or CRI-O (`/var/lib/containers/storage`) whose images are found and run where they are,
   * without a copy. They are only read. As with podman the policy is asked when an image is pulled, not when it is run: what such a
   * store holds is trusted as it is. `images.verify(name, { layers: true })` asks the policy and proves every layer. @defaultValue []
   */
  readonly additionalImageStores?: readonly string[]
  /** Environment that paths, proxies and credentials are looked up in. @defaultValue `process.env` */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** {@link RuntimeOptions} with every gap filled: nothing below asks for a default again. */
export interface ResolvedOptions {
  readonly root: string
  readonly runRoot: string
  readonly ociRuntime: string | undefined
  readonly conmon: string | undefined
  readonly buildah: string | undefined
  readonly policy: string | object | undefined
  readonly registriesConf: string | undefined
  readonly searchRegistries: readonly string[] | undefined
  readonly insecureRegistries: readonly string[]
  readonly authFile: string | undefined
  readonly credentials: Readonly<Record<string, { readonly username: string; readonly password: string }>>
  readonly onRegistryWarning: (warning: RegistryWarning) => void
  readonly network: 'none' | 'host'
  readonly logDriver: 'k8s-file' | 'none'
  readonly hooksDirectories: readonly string[]
  readonly cgroupParent: string
  readonly additionalImageStores: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly home: string
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number }
}

const RUNTIME_OPTIONS: OptionNames<RuntimeOptions> = {
  root: true,
  runRoot: true,
  ociRuntime: true,
  conmon: true,
  buildah: true,
  policy: true,
  registriesConf: true,
  searchRegistries: true,
  insecureRegistries: true,
  authFile: true,
  credentials: true,
  onRegistryWarning: true,
  network: true,
  logDriver: true,
  hooksDirectories: true,
  cgroupParent: true,
  additionalImageStores: true,
  env: true,
}

/** Checks options and fills the gaps. The only reader of the process's environment. @throws ERR_INVALID_ARGUMENT */
export function resolveOptions(options: RuntimeOptions): ResolvedOptions {
  checkOptions('Runtime.open', options, RUNTIME_OPTIONS)
  checkValues(options)
  const env = definedOnly(options.env ?? process.env)
  const uid = process.geteuid?.() ?? 0
  const home = env.HOME || homedir()
  return {
    root: resolve(options.root ?? (uid === 0 ? '/var/lib/podlib' : join(env.XDG_DATA_HOME || join(home, '.local/share'), 'podlib'))),
    runRoot: resolve(
      options.runRoot ?? (uid === 0 ? '/run/podlib' : env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'podlib') : `/tmp/podlib-run-${uid}`),
    ),
    ociRuntime: options.ociRuntime,
    conmon: options.conmon,
    buildah: options.buildah,
    policy: options.policy,
    registriesConf: options.registriesConf,
    searchRegistries: options.searchRegistries,
    insecureRegistries: options.insecureRegistries ?? [],
    authFile: options.authFile,
    credentials: options.credentials ?? {},
    onRegistryWarning: options.onRegistryWarning ?? (() => {}),
    network: options.network ?? 'none',
    logDriver: options.logDriver ?? 'k8s-file',
    hooksDirectories: options.hooksDirectories ?? [],
    cgroupParent: options.cgroupParent ?? '/podlib',
    additionalImageStores: [...new Set((options.additionalImageStores ?? []).map((root) => resolve(root)))],
    env,
    home,
    user: { name: userName(uid), uid, gid: process.getegid?.() ?? 0 },
  }
}

const TEXTS = ['root', 'runRoot', 'registriesConf', 'authFile'] as const
const PROGRAMS = ['ociRuntime', 'conmon', 'buildah'] as const
const NAME_LISTS = ['searchRegistries', 'insecureRegistries'] as const
const PATH_LISTS = ['hooksDirectories', 'additionalImageStores'] as const

function checkValues(options: RuntimeOptions): void {
  const check = (names: readonly (keyof RuntimeOptions)[], isGood: (value: unknown) => boolean, advice: string) => {
    for (const name of names) if (options[name] !== undefined && !isGood(options[name])) throw invalidOption(name, options[name], advice)
  }
  check(TEXTS, isText, 'give a path')
  check(PROGRAMS, (value) => isText(value) && (!value.includes('/') || isAbsolute(value)), 'give a name or an absolute path')
  check(NAME_LISTS, (value) => Array.isArray(value) && value.every(isText), 'give a list of registries')
  check(
    PATH_LISTS,
    (value) => Array.isArray(value) && value.every((path) => isText(path) && isAbsolute(path)),
    'give a list of absolute paths',
  )
  check(['onRegistryWarning'], (value) => typeof value === 'function', 'give a function')
  check(['credentials', 'env'], (value) => typeof value === 'object' && value !== null, 'give an object')
  check(
    ['policy'],
    (value) => isText(value) || (typeof value === 'object' && value !== null),
    'give a path, or the content of a policy.json',
  )
  checkChoice('network', options.network, ['none', 'host'])
  checkChoice('logDriver', options.logDriver, ['k8s-file', 'none'])
  if (options.cgroupParent !== undefined) checkCgroupParent(options.cgroupParent)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** A user without an entry in the user database is known by number, as subuid(5) allows. */
function userName(uid: number): string {
  try {
    return userInfo().username
  } catch {
    return String(uid)
  }
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined))
}
