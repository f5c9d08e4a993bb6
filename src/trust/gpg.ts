import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PodlibError } from '../errors/errors.ts'
import { findProgram } from '../host/programs.ts'
import { importedFingerprints, signerFingerprint } from './gpg-status.ts'
import { TRUST_LIMITS } from './limits.ts'
import { unusable } from './material.ts'
import { signedMessagePackets } from './openpgp.ts'
import type { Material } from './policy.ts'
import { Rejection } from './rejection.ts'

/** How gpg is run. @public */
export interface GpgOptions {
  /** Absolute path of gpg; looked for in the system's directories if absent. */
  readonly gpgPath?: string
  /** Where key rings live for the moment; the system's temporary directory if absent. */
  readonly temporaryDirectory?: string
}

/** OpenPGP public keys, and where the policy has them from. */
export interface KeyringSource {
  readonly material: Material
  readonly bytes: Buffer
}

/** A key ring that holds the keys of one requirement and nothing else. */
export interface Keyring {
  /** Fingerprints of the primary keys. */
  readonly fingerprints: ReadonlySet<string>
  /** Verifies a signed message. Throws a Rejection unless it is one good signature of one of the keys. */
  verify(message: Buffer): Promise<{ payload: Buffer; fingerprint: string }>
}

/** Options of every call: no configuration, no agent, no network, no trust database, one message a file. */
const COMMON = ['--no-options', '--batch', '--no-tty', '--no-autostart', '--no-auto-check-trustdb', '--trust-model', 'always']
const QUIET = ['--disable-dirmngr', '--no-auto-key-locate', '--no-auto-key-retrieve', '--no-greeting', '--quiet', '--status-fd', '3']

interface GpgRun {
  readonly gpg: string
  readonly home: string
  readonly signal: AbortSignal | undefined
}

/**
 * Imports keys into a new key ring, hands it to `use` and removes it. The home is a fresh directory with a short
 * path, so no key, option or trust of the user counts.
 *
 * @throws ERR_PROGRAM_MISSING, ERR_POLICY_INVALID when a source has no key
 */
export async function withKeyring<Result>(
  sources: readonly KeyringSource[],
  options: GpgOptions & { signal: AbortSignal | undefined },
  use: (keyring: Keyring) => Promise<Result>,
): Promise<Result> {
  const gpg = findProgram(options.gpgPath ?? 'gpg')
  const home = await mkdtemp(join(options.temporaryDirectory ?? tmpdir(), 'gpg-'))
  const run: GpgRun = { gpg, home, signal: options.signal }
  try {
    const fingerprints = new Set<string>()
    for (const { material, bytes } of sources) {
      const imported = importedFingerprints((await runGpg(run, ['--import'], bytes)).status)
      if (imported.size === 0) throw unusable(material, 'holds no OpenPGP public key that gpg can import')
      for (const fingerprint of imported) fingerprints.add(fingerprint)
    }
    return await use({ fingerprints, verify: (message) => verifyMessage(run, fingerprints, message) })
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

async function verifyMessage(
  run: GpgRun,
  fingerprints: ReadonlySet<string>,
  message: Buffer,
): Promise<{ payload: Buffer; fingerprint: string }> {
  // --decrypt writes the literal data that the signature covers, which is the only text anyone may believe.
  const { status, output, exitCode } = await runGpg(run, ['--decrypt'], signedMessagePackets(message))
  const fingerprint = signerFingerprint(status, fingerprints)
  if (exitCode !== 0) throw new Rejection(`gpg refuses the message (exit code ${exitCode})`)
  return { payload: output, fingerprint }
}

async function runGpg(
  run: GpgRun,
  command: readonly string[],
  input: Buffer,
): Promise<{ status: string; output: Buffer; exitCode: number }> {
  const { execa } = await import('execa')
  run.signal?.throwIfAborted()
  const result = await execa(run.gpg, ['--homedir', run.home, ...COMMON, ...QUIET, ...command], {
    input,
    stdio: ['pipe', 'pipe', 'ignore', 'pipe'],
    cwd: run.home,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', HOME: run.home, GNUPGHOME: run.home },
    extendEnv: false,
    cleanup: false,
    reject: false,
    encoding: 'buffer',
    stripFinalNewline: false,
    maxBuffer: 2 * TRUST_LIMITS.bytes,
    ...(run.signal && { cancelSignal: run.signal }),
  })
  run.signal?.throwIfAborted()
  if (result.isMaxBuffer) throw new Rejection('the signed message unpacks to too much')
  if (result.exitCode === undefined) {
    throw new PodlibError('ERR_PROGRAM_FAILED', `${run.gpg} did not run to its end: ${result.shortMessage ?? result.signal ?? 'unknown'}`, {
      program: { argv: [run.gpg, ...command], exitCode: null, signal: result.signal ?? null, stderr: '' },
    })
  }
  return { status: toBuffer(result.stdio[3]).toString('utf8'), output: toBuffer(result.stdout), exitCode: result.exitCode }
}

function toBuffer(value: unknown): Buffer {
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.alloc(0)
}
