// What a machine must have beside Node and npm, and which package of each distribution brings it.
//
// `for` names the programs of this repository that need it. `find` is a program looked for in the usual
// directories, or an absolute path. A distribution that is not named has no package that podlib was tried with.

/**
 * @typedef {object} Need
 * @property {string} find
 * @property {string} why
 * @property {readonly string[]} for
 * @property {boolean} [onlyWithoutRegistry] of no use to the quickstart where a public registry answers
 * @property {string} [apt]
 * @property {string} [dnf]
 * @property {string} [apk]
 */

const ALL = ['quickstart', 'test', 'bench']
const TEST = ['test', 'bench']
const TEST_ONLY = ['test']

/** @type {readonly Need[]} */
export const NEEDS = [
  need('crun', 'the OCI runtime', ALL, 'crun', 'crun', 'crun'),
  need('conmon', 'the container monitor', ALL, 'conmon', 'conmon', 'conmon'),
  need('newuidmap', 'user namespaces of unprivileged users', ALL, 'uidmap', 'shadow-utils', 'shadow-uidmap'),
  need('nsenter', 'namespaces from the command line', ALL, 'util-linux', 'util-linux', 'util-linux-misc'),
  need('tar', 'packing image layers', ALL, 'tar', 'tar', 'tar'),
  // Without a public registry in reach, images are built from these and served on the loopback interface.
  {
    ...need('busybox', 'the contents of a small image', ALL, 'busybox-static', 'busybox', 'busybox-static'),
    onlyWithoutRegistry: true,
  },
  {
    ...need(
      'docker-registry',
      'a registry on this machine, to pull from',
      ALL,
      'docker-registry',
      'docker-distribution',
      'docker-registry',
    ),
    onlyWithoutRegistry: true,
  },

  need('runc', 'the second OCI runtime', TEST, 'runc', 'runc', 'runc'),
  need('podman', 'the peer that podlib is measured against', TEST, 'podman', 'podman', 'podman'),
  need('skopeo', 'copies images between places', TEST, 'skopeo', 'skopeo', 'skopeo'),
  need('mmdebstrap', 'makes real images from Debian packages', TEST, 'mmdebstrap'),
  need('zstd', 'compresses layers', TEST, 'zstd', 'zstd', 'zstd'),
  need('mkfs.ext4', 'fresh file systems', TEST, 'e2fsprogs', 'e2fsprogs', 'e2fsprogs'),
  need('ip', 'network namespaces', TEST, 'iproute2', 'iproute', 'iproute2'),

  need('buildah', 'builds images', TEST_ONLY, 'buildah', 'buildah', 'buildah'),
  need('umoci', 'unpacks images, to compare with', TEST_ONLY, 'umoci', undefined, 'umoci'),
  need('gpg', 'signs and verifies images', TEST_ONLY, 'gpg', 'gnupg2', 'gnupg'),
  need('gpg-agent', 'keeps the keys of the tests', TEST_ONLY, 'gpg-agent', 'gnupg2', 'gnupg'),
  need('getcap', 'reads file capabilities', TEST_ONLY, 'libcap2-bin', 'libcap', 'libcap-utils'),
  need('getfattr', 'reads extended attributes', TEST_ONLY, 'attr', 'attr', 'attr'),
  need('iptables', 'rules of the container networks', TEST_ONLY, 'iptables', 'iptables', 'iptables'),
  need('slirp4netns', 'networks of unprivileged users', TEST_ONLY, 'slirp4netns', 'slirp4netns', 'slirp4netns'),
  need('pasta', 'networks of unprivileged users', TEST_ONLY, 'passt', 'passt', 'passt'),
  need('openssl', 'certificates of test registries', TEST_ONLY, 'openssl', 'openssl', 'openssl'),
  need('/usr/lib/podman/netavark|/usr/libexec/podman/netavark', 'container networks', TEST_ONLY, 'netavark', 'netavark', 'netavark'),
  need(
    '/usr/lib/podman/aardvark-dns|/usr/libexec/podman/aardvark-dns',
    'names in container networks',
    TEST_ONLY,
    'aardvark-dns',
    'aardvark-dns',
    'aardvark-dns',
  ),
  need(
    '/usr/lib/cni/bridge|/usr/libexec/cni/bridge',
    'container networks by CNI',
    TEST_ONLY,
    'containernetworking-plugins',
    'containernetworking-plugins',
    'cni-plugins',
  ),
  need(
    '/usr/share/containers/seccomp.json',
    'the default seccomp profile of the peers',
    TEST,
    'golang-github-containers-common',
    'containers-common',
    'containers-common',
  ),
  need(
    '/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema',
    'the official runtime-spec schemas',
    TEST_ONLY,
    'golang-github-opencontainers-specs-dev',
  ),
  need(
    '/usr/share/gocode/src/github.com/opencontainers/image-spec/schema',
    'the official image-spec schemas',
    TEST_ONLY,
    'golang-github-opencontainers-image-spec-dev',
  ),
]

/** @returns {Need} */
function need(find, why, users, apt, dnf, apk) {
  return { find, why, for: users, ...(apt && { apt }), ...(dnf && { dnf }), ...(apk && { apk }) }
}
