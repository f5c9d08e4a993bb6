import { sign, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Certificate, makeCertificate } from './certificate.ts'

/** Gives the tokens that a real docker-registry accepts. */
export interface TokenServer extends AsyncDisposable {
  /** A section for the registry's configuration file. */
  readonly configuration: string
  /** What it signs with; the registry has to find the certificate in `bundle`. */
  readonly certificate: Certificate
  /** The scopes of every request. */
  readonly scopes: string[]
}

export interface TokenServerOptions {
  /** Where the certificate is written by the caller. */
  readonly bundle: string
  /** What a user may do with a repository, by the `Authorization` header. */
  readonly allowed: (authorization: string | undefined, repository: string) => readonly string[]
}

/** @see https://distribution.github.io/distribution/spec/auth/jwt/ */
export async function startTokenServer({ bundle, allowed }: TokenServerOptions): Promise<TokenServer> {
  const certificate = makeCertificate()
  const scopes: string[] = []
  const server = createServer((request, response) => {
    const asked = new URL(request.url ?? '/', 'http://x').searchParams.getAll('scope')
    scopes.push(asked.join(' '))
    const access = asked.map((scope) => {
      const [, name = '', actions = ''] = scope.split(':')
      const may = allowed(request.headers.authorization, name)
      return { type: 'repository', name, actions: actions.split(',').filter((action) => may.includes(action)) }
    })
    response.end(JSON.stringify({ token: signed(certificate, access), expires_in: 60 }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
  const settings = { realm, service: 'registry', issuer: 'podlib', rootcertbundle: bundle }
  const lines = Object.entries(settings).map(([key, value]) => `    ${key}: ${value}\n`)
  return {
    configuration: `auth:\n  token:\n${lines.join('')}`,
    certificate,
    scopes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function signed({ cert, key }: Certificate, access: readonly unknown[]): string {
  const now = Math.floor(Date.now() / 1000)
  const header = { typ: 'JWT', alg: 'ES256', x5c: [new X509Certificate(cert).raw.toString('base64')] }
  const claims = { iss: 'podlib', sub: 'x', aud: 'registry', exp: now + 60, nbf: now - 10, iat: now, jti: String(Math.random()), access }
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
