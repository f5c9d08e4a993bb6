import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { Environment } from './types.ts'

/** The certificates that a `certs.d` directory gives for one host. */
export interface TlsFiles {
  /** The directory that they are from. */
  readonly directory: string
  /** PEM of the CAs to trust beside those of the system. */
  readonly ca: readonly string[]
  /** Client certificates with their keys, PEM. */
  readonly clients: readonly { readonly cert: string; readonly key: string }[]
}

/** Where `certs.d` directories are, first match first. @see containers-certs.d(5) @public */
export function certsDirectories(env: Environment, home: string): string[] {
  const config = env.XDG_CONFIG_HOME || join(home, '.config')
  return [join(config, 'containers/certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d']
}

/**
 * Reads the certificates for a host, `host[:port]` exactly as in the image name, from the first directory
 * that has the host. A directory that may not be read is skipped.
 *
 * @throws ERR_REGISTRY_TLS for a client certificate without key or key without certificate
 */
export async function readTlsFiles(host: string, directories: readonly string[]): Promise<TlsFiles | undefined> {
  if (!/^[\w.:[\]-]+$/.test(host) || /^\.+$/.test(host)) return undefined
  for (const parent of directories) {
    const directory = join(parent, host)
    const entries = await list(directory)
    if (entries) return readDirectory(directory, entries)
  }
  return undefined
}

/** Where distributions keep the CAs of the system in one file: Debian, Fedora, openSUSE, Alpine. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/**
 * What TLS connections are made with: the CAs of the system (which Node leaves out by itself, and every
 * other container tool trusts; Node's own when the system has none), those of `NODE_EXTRA_CA_CERTS`, and
 * those of `certs.d`. Making one takes milliseconds, so it is made once per identity, not per connection.
 *
 * @throws ERR_REGISTRY_TLS when a file holds no usable certificate
 */
export async function secureContextFor(files: TlsFiles | undefined, env: Environment): Promise<SecureContext> {
  const bundle = await systemBundle(env)
  const ca = [...(bundle ? [bundle] : getCACertificates('bundled')), ...getCACertificates('extra'), ...(files?.ca ?? [])]
  const clients = files?.clients ?? []
  try {
    return createSecureContext({
      ca,
      ...(clients.length > 0 && { cert: clients.map(({ cert }) => cert), key: clients.map(({ key }) => key) }),
    })
  } catch (error) {
    const where = files?.directory ?? 'the system'
    throw new PodlibError('ERR_REGISTRY_TLS', `the certificates of ${where} cannot be used: ${errorMessage(error)}`, {
      details: { directory: files?.directory },
      cause: error,
    })
  }
}

async function systemBundle(env: Environment): Promise<string | undefined> {
  for (const path of env.SSL_CERT_FILE ? [env.SSL_CERT_FILE] : SYSTEM_BUNDLES) {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text) return text
  }
  return undefined
}

async function readDirectory(directory: string, entries: readonly Dirent[]): Promise<TlsFiles> {
  const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
  const read = (name: string) => readFile(join(directory, name), 'utf8')
  const ca = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read))
  const clients = names.filter((name) => name.endsWith('.cert')).map((name) => name.slice(0, -'.cert'.length))
  for (const name of names.filter((file) => file.endsWith('.key'))) {
    if (!clients.includes(name.slice(0, -'.key'.length))) throw lonely(directory, name, '.cert')
  }
  const pairs = clients.map(async (name) => {
    if (!names.includes(`${name}.key`)) throw lonely(directory, `${name}.cert`, '.key')
    return { cert: await read(`${name}.cert`), key: await read(`${name}.key`) }
  })
  return { directory, ca, clients: await Promise.all(pairs) }
}

function lonely(directory: string, file: string, missing: string): PodlibError {
  return new PodlibError(
    'ERR_REGISTRY_TLS',
    `${join(directory, file)} has no ${missing} file of the same name; CA certificates end in .crt`,
    {
      details: { directory, file },
    },
  )
}

async function list(directory: string): Promise<Dirent[] | undefined> {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
