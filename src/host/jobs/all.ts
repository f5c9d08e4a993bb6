import { conmonCreate } from './conmon-create.ts'
import { describeHost } from './describe-host.ts'
import { diffLayers } from './diff-layers.ts'
import { endAttached } from './end-attached.ts'
import { execAttached } from './exec-attached.ts'
import { writeLayerTar } from './layer-tar.ts'
import { mountRootfs } from './mount-rootfs.ts'
import { readInRoot } from './read-in-root.ts'
import { removeTree } from './remove-tree.ts'
import { runAttached } from './run-attached.ts'
import { runProgram } from './run-program.ts'
import { sealLayers } from './seal-layers.ts'
import { splitTar } from './split-tar.ts'
import { streamProgram } from './stream-program.ts'
import { syncFilesystem } from './sync-filesystem.ts'
import { treeTar } from './tree-tar.ts'
import { treeUsage } from './tree-usage.ts'
import { unmount } from './unmount.ts'
import { unpackContext } from './unpack-context.ts'
import { unpackLayer } from './unpack-layer.ts'

/** Every job that the host worker can do, by the name used on the line. */
export const JOBS = {
  'conmon-create': conmonCreate,
  'describe-host': describeHost,
  'diff-layers': diffLayers,
  'end-attached': endAttached,
  'exec-attached': execAttached,
  'layer-tar': writeLayerTar,
  'mount-rootfs': mountRootfs,
  'read-in-root': readInRoot,
  'remove-tree': removeTree,
  'run-attached': runAttached,
  'run-program': runProgram,
  'seal-layers': sealLayers,
  'stream-program': streamProgram,
  'split-tar': splitTar,
  'sync-filesystem': syncFilesystem,
  'tree-tar': treeTar,
  'tree-usage': treeUsage,
  unmount,
  'unpack-context': unpackContext,
  'unpack-layer': unpackLayer,
} as const
