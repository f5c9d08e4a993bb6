import { ALL_CAPABILITIES } from '../../src/bundle/capabilities.ts'
import type { CreateContainerOptions } from '../../src/bundle/container-options.ts'
import { type GeneratedSpec, type GenerateInput, generateSpec } from '../../src/bundle/generate.ts'
import type { ContainerFiles, HostFacts, Identity } from '../../src/bundle/host-facts.ts'
import { type ResolvedConfig, resolveContainerConfig } from '../../src/bundle/resolve-config.ts'
import type { ImageConfig, ImageRunConfig } from '../../src/spec/image.ts'

export const ID = '0123456789abcdef'.repeat(4)

/** A host that can do everything. */
export const FACTS: HostFacts = {
  cgroupVersion: 2,
  cgroupControllers: ['memory', 'cpu', 'cpuset', 'pids', 'io', 'devices'],
  swapLimit: true,
  boundingCapabilities: ALL_CAPABILITIES,
  hardRlimits: {},
  currentOomScoreAdj: 0,
  canLowerOomScoreAdj: true,
  uids: [{ inside: 0, size: 4294967295 }],
  gids: [{ inside: 0, size: 4294967295 }],
  ttyGidMapped: true,
  canCreateDeviceNodes: true,
  ownsHostNamespaces: true,
  hasMessageQueues: true,
  architecture: 'amd64',
  kernelVersion: '6.1.0-18-amd64',
  thermalThrottlePaths: ['/sys/devices/system/cpu/cpu0/thermal_throttle'],
}

export const NO_FILES: ContainerFiles = {
  hosts: null,
  resolvConf: null,
  hostname: null,
  containerenv: null,
  shm: null,
  init: null,
  volumes: {},
}

export const ROOT: Identity = { uid: 0, gid: 0, additionalGids: [0], home: '/root' }

export function image(config: ImageRunConfig = {}): ImageConfig {
  return { os: 'linux', architecture: 'amd64', config, rootfs: { type: 'layers', diff_ids: [] } }
}

/** Resolves options that need nothing but what the test is about. */
export function resolve(options: CreateContainerOptions = {}, run?: ImageRunConfig): ResolvedConfig {
  return resolveContainerConfig({ id: ID, options: { command: ['/bin/sh'], ...options }, ...(run && { image: image(run) }) })
}

/** A configuration for such options. */
export function generate(options: CreateContainerOptions = {}, rest: Partial<GenerateInput> = {}): GeneratedSpec {
  return generateSpec({
    config: resolve(options).config,
    rootfsPath: '/run/podlib/mounts/x',
    facts: FACTS,
    identity: ROOT,
    files: NO_FILES,
    cgroupsPath: '/podlib/x',
    ...rest,
  })
}
