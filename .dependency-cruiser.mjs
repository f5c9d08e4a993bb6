// The layers of ARCHITECTURE.md as rules: imports go down only. Each rule is a sentence; none is waived.
//
//   top        index runtime compose options programs/
//   pod
//   container
//   image, volume
//   lifecycle
//   parts      storage registry transport trust oci-runtime monitor log network bundle hooks events (strangers to each other)
//   ground     host lock state
//   archive
//   pure       spec errors util

const PURE = 'spec|errors|util'
const GROUND = 'host|lock|state'
const PARTS = 'storage|registry|transport|trust|oci-runtime|monitor|log|network|bundle|hooks|events'
const LOW_OBJECTS = 'image|volume'
const OBJECTS = `${LOW_OBJECTS}|container|pod`
const TOP = '^src/([^/]+\\.ts$|programs/)'

const DRIVERS = [
  'storage/(overlay|vfs|erofs)/',
  'oci-runtime/(crun|runc)\\.ts$',
  'monitor/conmon/',
  'log/(k8s-file|json-file|journald|none)\\.ts$',
  'network/(netavark|cni|pasta|slirp4netns)[/.]',
].join('|')

const folders = (names) => `^src/(${names})/`

/** An import of `package` (its types count too) is only allowed in `importers`. */
const onlyImportedBy = (name, comment, target, importers) => ({
  name,
  severity: 'error',
  comment,
  from: { path: '^src/', pathNot: importers },
  to: { path: target },
})

const npm = (name) => `(^|/)node_modules/(@types/)?${name}/`

export default {
  forbidden: [
    {
      name: 'no-file-imports-itself-in-a-circle',
      severity: 'error',
      comment: 'Two files that need each other are one file, or lack a third.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-folder-imports-itself-in-a-circle',
      severity: 'error',
      comment: 'A folder cycle without a file cycle is still a tangle: no one can be read, tested or replaced without the other.',
      scope: 'folder',
      from: { path: '^src/[^/]+$' },
      to: { circular: true, path: '^src/[^/]+$' },
    },
    {
      name: 'pure-folders-import-pure-folders-only',
      severity: 'error',
      comment: 'spec, errors and util are values and functions of values; everything may use them, they use nothing.',
      from: { path: folders(PURE) },
      to: { path: '^src/', pathNot: folders(PURE) },
    },
    {
      name: 'archive-imports-pure-folders-only',
      severity: 'error',
      comment: 'Tar, compression and digests of streams are known without a host, a database or a registry.',
      from: { path: folders('archive') },
      to: { path: '^src/', pathNot: folders(`${PURE}|archive`) },
    },
    {
      name: 'ground-lies-below-parts',
      severity: 'error',
      comment: 'host, lock and state serve every part and know none of them; a job gets from its caller whatever it needs.',
      from: { path: folders(GROUND) },
      to: { path: [folders(`${PARTS}|lifecycle|${OBJECTS}`), TOP] },
    },
    {
      name: 'state-stands-alone-on-the-ground',
      severity: 'error',
      comment: 'Rows are rows: the database neither acts on the host nor takes locks.',
      from: { path: folders('state') },
      to: { path: folders('host|lock|archive') },
    },
    {
      name: 'lock-uses-only-system-calls-of-host',
      severity: 'error',
      comment: 'A lock is flock(2) on a file; it needs the binding and nothing else of the host.',
      from: { path: folders('lock') },
      to: { path: folders('host|state|archive'), pathNot: '^src/host/sys/' },
    },
    {
      name: 'host-knows-neither-lock-nor-state',
      severity: 'error',
      comment: 'The worker acts on plain values; who may act and what is recorded is decided above it.',
      from: { path: folders('host') },
      to: { path: folders('lock|state') },
    },
    {
      name: 'parts-are-strangers',
      severity: 'error',
      comment: 'A verb asks one part, gets a plain value and hands it to the next: no part imports another, nor anything above.',
      from: { path: folders(PARTS) },
      to: { path: [folders(`${PARTS}|lifecycle|${OBJECTS}`), TOP], pathNot: '^src/$1/' },
    },
    {
      name: 'lifecycle-lies-below-objects',
      severity: 'error',
      comment: 'The state machine, evidence and recovery decide; the verbs of the objects ask them.',
      from: { path: folders('lifecycle') },
      to: { path: [folders(OBJECTS), TOP] },
    },
    {
      name: 'image-and-volume-lie-below-container',
      severity: 'error',
      comment: 'An image or a volume can be used without any container; neither knows the other.',
      from: { path: folders(LOW_OBJECTS) },
      to: { path: [folders(OBJECTS), TOP], pathNot: '^src/$1/' },
    },
    {
      name: 'container-lies-below-pod',
      severity: 'error',
      comment: 'A container is told which namespaces to join; that they belong to a pod is the business of pod/.',
      from: { path: folders('container') },
      to: { path: [folders('pod'), TOP] },
    },
    {
      name: 'pod-lies-below-the-top',
      severity: 'error',
      comment: 'The runtime is built from the objects, never the other way round.',
      from: { path: folders('pod') },
      to: { path: TOP },
    },
    {
      name: 'drivers-are-named-only-in-compose',
      severity: 'error',
      comment: 'Everything speaks to a seam; which implementation stands behind it is decided in one file.',
      from: { path: '^src/', pathNot: [`^src/compose\\.ts$`, `^src/(${DRIVERS})`] },
      to: { path: `^src/(${DRIVERS})` },
    },
    {
      name: 'programs-use-the-host-and-the-composition-root',
      severity: 'error',
      comment:
        'A program is a process of its own: it starts jobs, or composes a runtime. It has no logic that a library user could not reach.',
      from: { path: '^src/programs/' },
      to: { path: '^src/', pathNot: [folders(`${PURE}|host`), TOP] },
    },
    {
      name: 'nothing-imports-a-program',
      severity: 'error',
      comment: 'Programs are started as processes; importing one would run it.',
      from: { path: '^src/' },
      to: { path: '^src/programs/', pathNot: '^src/programs/$' },
    },
    onlyImportedBy(
      'only-system-calls-import-koffi',
      'A wrong prototype is memory corruption: all bindings stand in one folder, with a test a call.',
      npm('koffi'),
      '^src/host/sys/',
    ),
    onlyImportedBy('only-state-imports-sqlite', 'All SQL is in one folder.', npm('better-sqlite3'), '^src/state/'),
    onlyImportedBy(
      'only-registry-imports-an-http-client',
      'Proxies, TLS, redirects and secrets in headers are handled once; the Docker daemon is the second HTTP peer, on a Unix socket.',
      npm('undici'),
      ['^src/registry/', '^src/transport/docker-daemon\\.ts$'],
    ),
    onlyImportedBy(
      'processes-are-started-in-few-places',
      'A fork is as slow as the application is big and inherits what it has open: the worker spawns, and the named helper programs are run where they belong.',
      [npm('execa'), '^(node:)?child_process$'],
      ['^src/host/', '^src/registry/credentials', '^src/trust/', '^src/image/build', '^src/network/'],
    ),
    {
      name: 'only-the-state-machine-moves-a-status',
      severity: 'error',
      comment: 'A row takes a status only in a branded transition, and only the state machine may call what brands it (types are free).',
      from: { path: '^src/', pathNot: '^src/lifecycle/state-machine\\.ts$' },
      to: { path: '^src/state/transition\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'sources-import-no-tests',
      severity: 'error',
      comment: 'What is shipped stands without test/ and examples/.',
      from: { path: '^src/' },
      to: { path: '^(test|examples|\\.ci)/' },
    },
    {
      name: 'sources-import-dependencies-only',
      severity: 'error',
      comment: 'A package that is not in "dependencies" is missing on the machine of the user.',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'every-import-resolves',
      severity: 'error',
      comment: 'An import of a file that is not there is found here and not when that line runs.',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|temp|docs|coverage)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    // Types count: a type that points upwards ties two folders together as firmly as a function.
    tsPreCompilationDeps: true,
    // `import('undici')` is found as a dynamic import, `createRequire` is not: sources do not use it across layers.
    detectProcessBuiltinModuleCalls: true,
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types', 'default'] },
    reporterOptions: { text: { highlightFocused: true } },
  },
}
