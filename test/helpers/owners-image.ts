import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { writeOciLayout } from './oci-layout.ts'
import { type TarBlock, tar } from './tar-builder.ts'

/** CAP_NET_RAW in `permitted` and the effective bit, revision 2. @see capabilities(7) */
const NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex')
export const BINARY_XATTR = Buffer.from([0, 0xff, 0x80, 10])

const OTHERS_DIRECTORY = { type: '5', uid: 1000, gid: 1000, mode: 0o700 }

/** What tells a layer unpacked by root of a user namespace from one that was unpacked by a mere user. */
const ENTRIES: readonly TarBlock[] = [
  { name: 'srv/', type: '5', mode: 0o755 },
  { name: 'srv/root', mode: 0o600, content: 'of root' },
  { name: 'srv/user', uid: 1000, gid: 1000, mode: 0o640, content: 'of a user' },
  { name: 'srv/mixed', uid: 1000, gid: 0, mode: 0o640, content: 'of two' },
  { name: 'srv/last', uid: 65535, gid: 65535, content: 'of the last id that every image may have' },
  { name: 'srv/setuid', mode: 0o4755, content: 'setuid' },
  { name: 'srv/setgid', uid: 1000, gid: 50, mode: 0o2755, content: 'setgid' },
  { name: 'srv/link', type: '1', linkName: 'srv/user', uid: 1000, gid: 1000, mode: 0o640 },
  { name: 'srv/symlink', type: '2', linkName: '/srv/user', uid: 1000, gid: 1000, mode: 0o777 },
  { name: 'srv/fifo', type: '6', uid: 1000, gid: 1000, mode: 0o600 },
  { name: 'srv/device', type: '3', major: 1, minor: 3, mode: 0o666 },
  { name: 'srv/private/', ...OTHERS_DIRECTORY },
  { name: 'srv/private/closed/', ...OTHERS_DIRECTORY, mode: 0 },
  { name: 'srv/private/closed/file', uid: 1000, gid: 1000, mode: 0, content: 'nobody reads this' },
  { name: 'srv/sticky/', type: '5', mode: 0o1777 },
  {
    name: 'srv/marked',
    content: 'marked',
    pax: [
      ['SCHILY.xattr.user.podlib', BINARY_XATTR],
      ['SCHILY.xattr.security.capability', NET_RAW],
    ],
  },
  { name: 'etc/.wh.os-release' },
  { name: 'home/', type: '5', mode: 0o755 },
  { name: 'home/.wh..wh..opq' },
  { name: 'home/new', content: 'new' },
]

/** An image of the small one's layer, a file in /home, and a layer of files of many owners that hides some of it. */
export async function writeOwnersImage(directory: string, smallLayout: string): Promise<void> {
  const tars = join(directory, 'tars')
  mkdirSync(tars, { recursive: true })
  const write = (name: string, bytes: Buffer) => {
    const path = join(tars, name)
    writeFileSync(path, bytes)
    return { tar: path, compression: 'gzip' } as const
  }
  const layers = [
    write('small', onlyLayer(smallLayout)),
    write('old', tar({ name: 'home/', type: '5', mode: 0o755 }, { name: 'home/old', content: 'old' })),
    write('owners', tar(...ENTRIES)),
  ]
  await writeOciLayout(directory, { tag: 'latest', run: { Cmd: ['sh'], Env: ['PATH=/bin'] }, layers })
}

/** The tar of an image with one layer. */
function onlyLayer(layout: string): Buffer {
  const blob = (digest: string) => readFileSync(join(layout, 'blobs', ...digest.split(':')))
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: [{ digest: string }] }
  const manifest = JSON.parse(blob(index.manifests[0].digest).toString()) as { layers: [{ digest: string }] }
  return gunzipSync(blob(manifest.layers[0].digest))
}
