import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errorCode } from '../errors/errors.ts'
import { backOff, delay } from '../util/delay.ts'
import { lockTimeout } from './file-lock.ts'

/** A lock that was not renewed for so long belongs to a dead process. Renewal is every sixth of it. */
const STALE_MS = 30_000
const WAIT_MS = 60_000

export interface EditFileOptions {
  /** Mode of a file that is made. A file that exists keeps its own. Default 0600. */
  readonly mode?: number
  readonly signal?: AbortSignal | undefined
  /** How long to wait for another editor. Default 60 s: a dead one is found out after 30. */
  readonly timeoutMs?: number
}

/**
 * Changes a file that users and other programs edit too (auth.json, network configs, short-name aliases): reads it,
 * gives its text to `fn` and puts what `fn` returns in its place, whole or not at all, also if the machine fails. Other
 * podlib processes wait meanwhile. A symbolic link stays, its target is changed. A missing directory is made.
 *
 * Not for podlib's own state: a process that was stopped for 30 s loses this lock.
 *
 * @param fn - Gets undefined when there is no file; returns undefined to leave everything as it is.
 * @throws ERR_LOCK_TIMEOUT; the signal's reason.
 */
export async function editFile(
  path: string,
  fn: (text: string | undefined) => string | undefined | Promise<string | undefined>,
  { mode = 0o600, signal, timeoutMs = WAIT_MS }: EditFileOptions = {},
): Promise<void> {
  signal?.throwIfAborted()
  const target = await resolveLink(path)
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  const compromised = new AbortController()
  const release = await lockFile(target, compromised, { signal, deadline: Date.now() + timeoutMs })
  try {
    const before = await readText(target)
    const after = await fn(before)
    if (after === undefined || after === before) return
    await replaceFile(target, after, mode, () => {
      signal?.throwIfAborted()
      compromised.signal.throwIfAborted()
    })
  } finally {
    // Fails only when the lock was lost, and then there is nothing to give back.
    await release().catch(() => {})
  }
}

async function lockFile(
  target: string,
  compromised: AbortController,
  { signal, deadline }: { signal: AbortSignal | undefined; deadline: number },
): Promise<() => Promise<void>> {
  // Patches `process` when loaded, so it is loaded only by those who edit files.
  const { lock } = await import('proper-lockfile')
  const onCompromised = (error: Error) => compromised.abort(error)
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await lock(target, { realpath: false, stale: STALE_MS, update: STALE_MS / 6, retries: 0, onCompromised })
    } catch (error) {
      if (errorCode(error) !== 'ELOCKED') throw error
      if (Date.now() >= deadline) throw lockTimeout(`file ${target}`, [])
    }
    await delay(backOff(attempt, 5, 100), signal)
  }
}

/** Writes a temporary file beside the target, then puts it in its place with one rename; both reach the disk. */
async function replaceFile(target: string, text: string, mode: number, check: () => void): Promise<void> {
  const owner = await stat(target).catch(() => undefined)
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', owner ? owner.mode & 0o777 : mode)
  try {
    await writeAndSync(file, text, owner)
    check()
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
  await syncDirectory(dirname(target))
}

async function writeAndSync(file: FileHandle, text: string, owner: { mode: number; uid: number; gid: number } | undefined): Promise<void> {
  try {
    if (owner) {
      // The umask has had its say on open; the owner can be given by root only.
      await file.chmod(owner.mode & 0o777)
      if (process.getuid?.() === 0) await file.chown(owner.uid, owner.gid)
    }
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function resolveLink(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return resolve(path)
    throw error
  }
}
