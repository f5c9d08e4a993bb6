import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A key ring of the tests with gpg and skopeo on top of it. */
export interface GpgSigner {
  readonly home: string
  /** Makes a key without passphrase; gives its fingerprint. */
  makeKey(name: string, algorithm: 'ed25519' | 'rsa3072', expires?: string, at?: string): Promise<string>
  exportKeys(...fingerprints: readonly string[]): Promise<Buffer>
  gpg(args: readonly string[], input?: Uint8Array): Promise<Buffer>
  skopeo(args: readonly string[]): Promise<Buffer>
  /** A simple-signing signature as skopeo makes it. */
  sign(manifest: Uint8Array, reference: string, fingerprint: string): Promise<Buffer>
  close(): Promise<void>
}

export async function openGpgSigner(): Promise<GpgSigner> {
  // The agent's sockets live here: a long path would not fit into a socket address.
  const home = await mkdtemp(join(tmpdir(), 'g-'))
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: home, GNUPGHOME: home, LC_ALL: 'C' }
  const gpg = (args: readonly string[], input?: Uint8Array) => run('gpg', ['--batch', '--quiet', '--passphrase', '', ...args], env, input)
  const skopeo = (args: readonly string[]) => run('skopeo', args, env)
  const exportKeys = (...fingerprints: readonly string[]) => gpg(['--export', ...fingerprints])
  return {
    home,
    gpg,
    skopeo,
    exportKeys,
    makeKey: async (name, algorithm, expires = 'never', at) => {
      const time = at === undefined ? [] : ['--faked-system-time', at]
      await gpg([...time, '--quick-gen-key', name, algorithm, 'sign', expires])
      const listing = await gpg(['--with-colons', '--list-keys', `=${name}`])
      return /^fpr:+([0-9A-F]{40}):/m.exec(listing.toString())?.[1] ?? ''
    },
    sign: async (manifest, reference, fingerprint) => {
      const [input, output] = [join(home, 'manifest'), join(home, 'signature')]
      await writeFile(input, manifest)
      await skopeo(['standalone-sign', input, reference, fingerprint, '--output', output])
      return readFile(output)
    },
    close: async () => {
      await run('gpgconf', ['--kill', 'all'], env).catch(() => {})
      await rm(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv, input?: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { env, encoding: 'buffer', maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr.toString()}`, { cause: error }))
      else resolve(stdout)
    })
    child.stdin?.end(input)
  })
}
