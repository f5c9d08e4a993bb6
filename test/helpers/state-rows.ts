import { createHash } from 'node:crypto'
import type { Digest } from '../../src/spec/digest.ts'
import type { NewContainerRow } from '../../src/state/container-row.ts'
import type { ImageRow } from '../../src/state/image-table.ts'
import type { LayerRow } from '../../src/state/layer-table.ts'
import type { PodRow } from '../../src/state/pod-table.ts'

/** 64 hexadecimal digits that are always the same for a word. */
export function idOf(word: string): string {
  return createHash('sha256').update(word).digest('hex')
}

export function digestOfWord(word: string): Digest {
  return `sha256:${idOf(word)}`
}

/** A container as a verb would add it, named `name`. */
export function containerRow(name: string, changes: Partial<NewContainerRow> = {}): NewContainerRow {
  return {
    id: idOf(name),
    name,
    podId: null,
    imageId: null,
    imageStore: null,
    foreignImageId: null,
    imageName: 'docker.io/library/alpine:3.20',
    createdAt: 1_700_000_000_000,
    startedAt: null,
    finishedAt: null,
    exitCode: null,
    exitSignal: null,
    oomKilled: false,
    error: null,
    pid: null,
    pidStartTime: null,
    monitorPid: null,
    monitorStartTime: null,
    bootId: null,
    health: null,
    command: ['sleep', '100'],
    labels: {},
    ports: [],
    ephemeral: false,
    ownerPid: null,
    ownerStartTime: null,
    stoppedByUser: false,
    restartCount: 0,
    initStep: null,
    attached: false,
    network: null,
    warnings: [],
    ...changes,
  }
}

export function podRow(name: string, changes: Partial<PodRow> = {}): Omit<PodRow, 'generation' | 'removing'> {
  return {
    id: idOf(name),
    name,
    createdAt: 1_700_000_000_000,
    infraId: null,
    labels: {},
    ephemeral: false,
    ownerPid: null,
    ownerStartTime: null,
    config: {},
    ...changes,
  }
}

export function layerRow(word: string, changes: Partial<LayerRow> = {}): LayerRow {
  const time = 1_700_000_000_000
  return {
    diffId: digestOfWord(word),
    form: 'directory',
    size: 1024,
    usageBytes: 4096,
    entries: 3,
    state: 'ready',
    createdAt: time,
    lastUsedAt: time,
    ...changes,
  }
}

export function imageRow(word: string, changes: Partial<ImageRow> = {}): ImageRow {
  return {
    id: idOf(word),
    createdAt: null,
    storedAt: 1_700_000_000_000,
    os: 'linux',
    architecture: 'amd64',
    variant: '',
    size: 1024,
    labels: {},
    config: Buffer.from(`{"word":"${word}"}`),
    ...changes,
  }
}
