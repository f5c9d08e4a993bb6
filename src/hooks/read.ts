import { constants, type Stats } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, errorMessage, isPodlibError, PodlibError } from '../errors/errors.ts'
import { type Hook, invalid, parseHook } from './hook.ts'

const MAX_FILE_BYTES = 1024 * 1024
const WRITABLE_BY_OTHERS = 0o022

export interface ReadHooksOptions {
  /** In order of increasing precedence: a file replaces one of the same name in an earlier directory. */
  readonly directories: readonly string[]
  /** Stages beside OCI's that this program runs itself. @defaultValue [] */
  readonly extensionStages?: readonly string[]
  /** User whose files are trusted beside root's. @defaultValue the user of this process */
  readonly uid?: number
  readonly signal?: AbortSignal
}

export interface ReadHooks {
  readonly hooks: readonly Hook[]
  /** Why files (or whole directories) were left out: one error each. */
  readonly problems: readonly PodlibError[]
}

/**
 * Reads the `.json` files of hook directories. A missing directory is none, and so is a file that goes away meanwhile.
 * Hooks run as root on the host, so a file or directory that somebody else could have written is not read at all.
 */
export async function readHooks(options: ReadHooksOptions): Promise<ReadHooks> {
  const found = new Map<string, Hook>()
  const problems: PodlibError[] = []
  for (const directory of options.directories) {
    for (const name of await listDirectory(directory, options, problems)) {
      options.signal?.throwIfAborted()
      try {
        const hook = await readHook(join(directory, name), name, options)
        if (hook) found.set(name, hook)
      } catch (error) {
        // What this file would have replaced must not run in its stead.
        found.delete(name)
        problems.push(isPodlibError(error) ? error : invalid(join(directory, name), errorMessage(error), error))
      }
    }
  }
  return { hooks: [...found.values()], problems }
}

/** {@link readHooks}, but with one error that names every bad file. @throws ERR_HOOK_INVALID */
export async function loadHooks(options: ReadHooksOptions): Promise<readonly Hook[]> {
  const { hooks, problems } = await readHooks(options)
  const [first, ...others] = problems
  if (first === undefined) return hooks
  if (others.length === 0) throw first
  throw new PodlibError('ERR_HOOK_INVALID', problems.map(({ message }) => message).join('; '), {
    details: { files: problems.map(({ details }) => details.file) },
    cause: first,
  })
}

async function listDirectory(directory: string, options: ReadHooksOptions, problems: PodlibError[]): Promise<string[]> {
  try {
    const why = distrust(await stat(directory), options)
    if (why) throw invalid(directory, `the directory ${why}`)
    return (await readdir(directory)).filter((name) => name.endsWith('.json')).sort()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    problems.push(isPodlibError(error) ? error : invalid(directory, errorMessage(error), error))
    return []
  }
}

async function readHook(file: string, name: string, options: ReadHooksOptions): Promise<Hook | undefined> {
  const text = await readTrusted(file, options)
  if (text === undefined) return undefined
  const hook = parseHook(text, { name, file, extensionStages: options.extensionStages ?? [] })
  const program = await stat(hook.hook.path).catch((cause: unknown) => {
    throw invalid(file, `its program ${hook.hook.path} cannot be found`, cause)
  })
  const why = program.isFile() ? distrust(program, options) : 'is not a regular file'
  if (why) throw invalid(file, `its program ${hook.hook.path} ${why}`)
  return hook
}

/** O_NONBLOCK: a FIFO of that name would otherwise hold us for ever. */
async function readTrusted(file: string, options: ReadHooksOptions): Promise<string | undefined> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (handle === undefined) return undefined
  try {
    const stats = await handle.stat()
    const why = stats.isFile() ? distrust(stats, options) : 'is not a regular file'
    if (why) throw invalid(file, why)
    if (stats.size > MAX_FILE_BYTES) throw invalid(file, `is larger than ${MAX_FILE_BYTES} bytes`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

function distrust({ uid, mode }: Stats, options: ReadHooksOptions): string | undefined {
  const own = options.uid ?? process.getuid?.()
  if (uid !== 0 && uid !== own) return `belongs to user ${uid}, who could make it run anything`
  return mode & WRITABLE_BY_OTHERS ? 'can be written by other users' : undefined
}
