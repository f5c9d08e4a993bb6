import { existsSync, mkdirSync, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'

/** conmon writes a file under a temporary name, which has a dot in it, and then renames it. */
const CONTAINER_NAME = /^[^.]+$/

/**
 * Calls back with the name of each exit file, those that are there and those that come, once each until it is removed.
 * One watch serves all containers.
 */
export function watchExitFiles(directory: string, callback: (id: string) => void): () => void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const told = new Set<string>()
  const look = (name: string) => {
    if (!CONTAINER_NAME.test(name)) return
    if (!existsSync(join(directory, name))) told.delete(name)
    else if (!told.has(name)) {
      told.add(name)
      callback(name)
    }
  }
  const lookAtAll = () => {
    for (const name of readdirSync(directory)) look(name)
  }
  const watcher = watch(directory, { persistent: false }, (_event, name) => {
    if (name !== null) return look(name)
    try {
      // Without a name the kernel's queue ran over.
      lookAtAll()
    } catch {
      // Nobody could catch it. Whoever waits for a container looks at its process too.
    }
  })
  // The directory was removed with the whole store: there is nothing to tell any more.
  watcher.on('error', () => watcher.close())
  lookAtAll()
  return () => watcher.close()
}
