import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TarBlock } from './tar-builder.ts'

/** Members of a tar that make it runnable: busybox, and these of its applets. */
export function busyboxBlocks(...applets: readonly string[]): TarBlock[] {
  return [
    { name: 'bin/busybox', mode: 0o755, content: busybox() },
    ...applets.map((name) => ({ name: `bin/${name}`, type: '2', linkName: 'busybox', size: 0 })),
  ]
}

function busybox(): Buffer {
  for (const directory of [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/bin']) {
    try {
      return readFileSync(join(directory, 'busybox'))
    } catch {
      // The next one has it.
    }
  }
  throw new Error('busybox is not installed')
}
