import type { ImageConfig, ImageRunConfig } from '../spec/image.ts'
import { validateContainerOptions } from '../spec/validate-container.ts'
import { parseSize } from '../util/quantity.ts'
import { checkAddDrop, normalizeCapabilities } from './capabilities.ts'
import { checkCgroupParent, checkContainerPath, checkName, checkText, refused, shown } from './check.ts'
import { CONFIG_DEFAULTS, type ConfigDefaults } from './config-defaults.ts'
import type { ContainerConfig, NamesConfig, SecurityConfig } from './container-config.ts'
import type { CreateContainerOptions } from './container-options.ts'
import { resolveLifecycle } from './resolve-lifecycle.ts'
import { resolveMounts } from './resolve-mounts.ts'
import { resolveHostname, resolveNamespaces } from './resolve-namespaces.ts'
import { resolveProcess } from './resolve-process.ts'
import { resolveDevices, resolveResources } from './resolve-resources.ts'
import { resolveSysctls } from './sysctl.ts'

export interface ResolvedConfig {
  readonly config: ContainerConfig
  /** What was left out of what the image asked for, in words for a log. */
  readonly warnings: readonly string[]
}

/**
 * Decides everything about a container from the caller's options, its image (already through `validateImageConfig`)
 * and the defaults. Pure: nothing is read from the process or the host.
 *
 * @throws ERR_INVALID_ARGUMENT for options, ERR_IMAGE_CONFIG_INVALID for an image that asks for what no image may.
 */
export function resolveContainerConfig(input: {
  readonly id: string
  readonly options: CreateContainerOptions
  readonly image?: ImageConfig
  readonly defaults?: ConfigDefaults
}): ResolvedConfig {
  const options = validateContainerOptions(input.options)
  const defaults = input.defaults ?? CONFIG_DEFAULTS
  const image: ImageRunConfig = input.image?.config ?? {}
  if (options.name !== undefined) checkName(options.name, 'container name')
  const warnings: string[] = []
  const namespaces = resolveNamespaces(options, defaults)
  const hostname = resolveHostname(input.id, options, namespaces)
  const config: ContainerConfig = {
    version: 1,
    hostname,
    labels: { ...image.Labels, ...options.labels },
    annotations: checkAnnotations(options.annotations ?? {}),
    process: resolveProcess({ options, image, defaults, hostname }, warnings),
    rootfs: { readonly: options.readOnly ?? false, readWriteTmpfs: options.readWriteTmpfs ?? true },
    mounts: resolveMounts(options, image, options.imageVolumes ?? defaults.imageVolumes),
    shmSize: options.shmSize === undefined ? defaults.shmSize : parseSize(options.shmSize, 'shmSize'),
    namespaces,
    names: resolveNames(options),
    security: resolveSecurity(options, defaults),
    resources: resolveResources(options, defaults),
    devices: resolveDevices(options.devices ?? []),
    sysctls: resolveSysctls(options.sysctls ?? {}, namespaces),
    cgroupParent: options.cgroupParent === undefined ? defaults.cgroupParent : checkCgroupParent(options.cgroupParent),
    log: {
      driver: options.logDriver ?? defaults.logDriver,
      maxSize: options.logMaxSize === undefined ? defaults.logMaxSize : parseSize(options.logMaxSize, 'logMaxSize'),
    },
    lifecycle: resolveLifecycle(options, image, defaults),
  }
  return { config, warnings }
}

function resolveSecurity(options: CreateContainerOptions, defaults: ConfigDefaults): SecurityConfig {
  const capAdd = normalizeCapabilities(options.capAdd ?? [])
  const capDrop = normalizeCapabilities(options.capDrop ?? [])
  checkAddDrop(capAdd, capDrop)
  const seccomp = options.seccomp ?? defaults.seccomp
  if (seccomp !== 'default' && seccomp !== 'unconfined' && !checkText(seccomp, 'seccomp profile').startsWith('/')) {
    throw refused('options', `seccomp ${shown(seccomp)} is neither 'default' nor 'unconfined' nor an absolute path`)
  }
  const unmasked = options.unmaskedPaths ?? []
  return {
    privileged: options.privileged ?? false,
    capabilities: normalizeCapabilities(defaults.capabilities),
    capAdd,
    capDrop,
    noNewPrivileges: options.noNewPrivileges ?? false,
    seccomp,
    maskedPaths: (options.maskedPaths ?? []).map((path) => checkContainerPath(path, 'masked path')),
    unmaskedPaths: unmasked === 'all' ? 'all' : unmasked.map((path) => checkContainerPath(path, 'unmasked path')),
  }
}

function resolveNames(options: CreateContainerOptions): NamesConfig {
  const { servers = [], search = [], options: dnsOptions = [] } = options.dns ?? {}
  const check = (values: readonly string[], what: string) => values.map((value) => checkText(value, what))
  for (const [name, address] of Object.entries(options.extraHosts ?? {})) checkText(`${name} ${address}`, 'extra host')
  return {
    extraHosts: { ...options.extraHosts },
    dnsServers: check(servers, 'DNS server'),
    dnsSearch: check(search, 'DNS search domain'),
    dnsOptions: check(dnsOptions, 'DNS option'),
  }
}

function checkAnnotations(annotations: Readonly<Record<string, string>>): Record<string, string> {
  for (const key of Object.keys(annotations)) {
    if (key === '') throw refused('options', 'an annotation has an empty name')
  }
  return { ...annotations }
}
