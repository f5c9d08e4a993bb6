import { type TarBlock, tar } from './tar-builder.ts'

const folder = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const file = (name: string, content = name, more: TarBlock = {}): TarBlock => ({ name, content, ...more })
const link = (name: string, linkName: string, more: TarBlock = {}): TarBlock => ({ name, type: '2', linkName, mode: 0o777, ...more })
const hardLink = (name: string, linkName: string): TarBlock => ({ name, type: '1', linkName })
const at = (time: string): Pick<TarBlock, 'pax'> => ({ pax: [['mtime', time]] })
/** cap_setuid, cap_setgid, cap_net_raw, cap_sys_ptrace, as security.capability of version 2: bytes that are no UTF-8. */
const CAPABILITIES = Buffer.from('01000002c020080000000000000000000000000000', 'hex').subarray(0, 20)
const MARKED: TarBlock = {
  mode: 0o3771,
  uid: 1000,
  gid: 50,
  pax: [
    ['mtime', '1500000000.000000007'],
    ['SCHILY.xattr.user.mark', Buffer.from([0, 0xff, 0x0a])],
  ],
}

const BASE = tar(
  folder('./', { uid: 3, gid: 4, mode: 0o751, mtime: 1_600_000_000 }),
  folder('marked/', MARKED),
  folder('marked/deeper/', at('1400000000.5')),
  file('precise', 'precise', at('1700000000.123456789')),
  file('old', 'old', { mtime: 0 }),
  file('program', 'program', { mode: 0o755, pax: [['SCHILY.xattr.security.capability', CAPABILITIES]] }),
  file('set-user-id', 'x', { mode: 0o6755, uid: 1000, gid: 50 }),
  file('locked', 'locked', { mode: 0, uid: 65_534, gid: 65_534 }),
  file('large', 'large'.repeat(700_000)),
  file('empty', ''),
  folder('links/'),
  file('links/one', 'one inode'),
  hardLink('links/two', 'links/one'),
  hardLink('three', 'links/one'),
  file('links/other', 'another inode'),
  hardLink('links/other-name', 'links/other'),
  link('links/absolute', '/etc/passwd', { uid: 5, ...at('1300000000.25') }),
  link('links/relative', '../precise'),
  link('links/dangling', 'nowhere'),
  hardLink('links/of-a-link', 'links/relative'),
  folder('devices/'),
  { name: 'devices/null', type: '3', mode: 0o666, major: 1, minor: 3 },
  { name: 'devices/disk', type: '4', mode: 0o660, major: 259, minor: 70_000, gid: 6 },
  { name: 'devices/pipe', type: '6', mode: 0o622, ...at('1200000000.75') },
  folder('names/'),
  file('names/new\nline'),
  file('names/.hidden'),
  { name: Buffer.from([...Buffer.from('names/'), 0xff, 0xe9]), content: 'not UTF-8' },
  { name: 'x', content: 'long', pax: [['path', `names/${'n'.repeat(255)}`]] },
  ...['hidden', 'emptied', 'becomes-file', 'becomes-link', 'comes-back', 'twice'].flatMap((name) => [
    folder(`${name}/`, { mode: 0o700, uid: 12 }),
    file(`${name}/old`),
    folder(`${name}/below/`),
    file(`${name}/below/old`),
  ]),
  file('becomes-folder'),
  link('link-becomes-folder', 'marked'),
  link('link-becomes-file', 'precise'),
  file('gone'),
)

const HIDES = tar(
  file('.wh.gone', ''),
  file('.wh.hidden', ''),
  file('.wh.comes-back', ''),
  file('.wh.twice', ''),
  folder('links/'),
  file('links/.wh.two', ''),
  file('links/.wh.dangling', ''),
  folder('devices/'),
  file('devices/.wh.null', ''),
  file('.wh.was-never-there', ''),
)

const EMPTIES = tar(folder('emptied/', { mode: 0o711 }), file('emptied/.wh..wh..opq', ''), file('emptied/new'), folder('emptied/below/'))

const REPLACES = tar(
  file('becomes-file', 'a file'),
  link('becomes-link', 'marked'),
  folder('becomes-folder/', { uid: 9 }),
  file('becomes-folder/new'),
  folder('link-becomes-folder/'),
  file('link-becomes-folder/new'),
  file('link-becomes-file', 'no link'),
  folder('devices/'),
  file('devices/pipe', 'no pipe'),
)

const CHANGES = tar(
  file('precise', 'precise', { mode: 0o600, uid: 77, ...at('1700000000.987654321') }),
  file('program', 'without capabilities', { mode: 0o755 }),
  folder('names/', { mode: 0o1777, gid: 100, ...at('1000000000.1') }),
  folder('links/'),
  file('links/one', 'an inode of its own'),
  file('links/new'),
  hardLink('links/new-name', 'links/new'),
)

const BRINGS_BACK = tar(folder('comes-back/'), file('comes-back/new'), folder('twice/'), file('twice/new'), file('gone', 'back'))
const NOTHING = tar()
const HAS_NO_FOLDERS = tar(file('marked/deeper/new'), file('marked/new'))
const HIDES_AGAIN = tar(file('.wh.twice', ''), folder('comes-back/'), file('comes-back/.wh.new', ''))
const IN_ONE_LAYER = tar(
  file('both', 'both'),
  folder('mixed/'),
  file('mixed/.wh..wh..opq', ''),
  file('mixed/a'),
  hardLink('mixed/b', 'mixed/a'),
)

/** Layers, bottom first, each of which does something to those below: two are the same. `marked` and `marked/deeper` are implied in one. */
export const STACKED_LAYERS: readonly Buffer[] = [
  BASE,
  HIDES,
  EMPTIES,
  REPLACES,
  CHANGES,
  BRINGS_BACK,
  NOTHING,
  CHANGES,
  HAS_NO_FOLDERS,
  HIDES_AGAIN,
  IN_ONE_LAYER,
]
