import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach } from '@jest/globals'
import type { CredentialStoreOptions } from '../../src/registry/credential-places.ts'
import { temporaryDirectories } from './temporary-directory.ts'

/** A home directory with credentials files and helpers, new for each test. */
export interface CredentialHome {
  path(name: string): string
  options(): CredentialStoreOptions
  /** Writes a file below the home directory. */
  write(name: string, document: unknown): string
  read(name: string): string
  json(name: string): { auths?: Record<string, unknown>; [other: string]: unknown }
  /** Makes a program docker-credential-NAME. */
  helper(name: string, script: string): void
  /** One that keeps what it is given in files, as real ones do in a key store. */
  keyStore(name: string): void
}

export const RUNTIME_FILE = 'run/containers/auth.json'
export const LASTING_FILE = '.config/containers/auth.json'
export const DOCKER_FILE = '.docker/config.json'

/** What a credentials file has for a user. */
export function entry(user: string, password = 'secret'): { auth: string } {
  return { auth: Buffer.from(`${user}:${password}`).toString('base64') }
}

/** Call it in the body of a test file. */
export function credentialHome(): CredentialHome {
  const directory = temporaryDirectories()
  let home: string
  beforeEach(() => {
    home = directory()
  })
  const path = (name: string) => join(home, name)
  const write = (name: string, document: unknown) => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), typeof document === 'string' ? document : JSON.stringify(document))
    return path(name)
  }
  const read = (name: string) => readFileSync(path(name), 'utf8')
  const helper = (name: string, script: string) => chmodSync(write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755)
  return {
    path,
    write,
    read,
    helper,
    json: (name) => JSON.parse(read(name)),
    options: () => ({
      home,
      uid: 1000,
      env: { XDG_RUNTIME_DIR: join(home, 'run'), PATH: `relative:${join(home, 'bin')}:/usr/bin:/bin` },
    }),
    keyStore: (name) => helper(name, KEY_STORE),
  }
}

const KEY_STORE = `
store="$HOME/store"; mkdir -p "$store"
key() { tr '/:' '__' ; }
case "$1" in
  store) input=$(cat); server=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf %s "$input" > "$store/$(printf %s "$server" | key)" ;;
  get) file="$store/$(key)"; [ -f "$file" ] || { echo "credentials not found in native keychain"; exit 1; }; cat "$file" ;;
  erase) rm -f "$store/$(key)" ;;
  list) printf '{'; comma=; for file in "$store"/*; do [ -f "$file" ] || continue
    printf '%s%s' "$comma" "$(sed 's/.*"ServerURL":"\\([^"]*\\)","Username":"\\([^"]*\\)".*/"\\1":"\\2"/' "$file")"; comma=,; done; printf '}' ;;
esac`
