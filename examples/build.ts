// node examples/build.ts: builds an image from a Containerfile and runs it. Needs Buildah and a static busybox; no registry.
//
// Nothing is left behind: the image and the build cache live in a temporary directory that is removed at the end.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isPodlibError, Runtime } from '../src/index.ts'

const CONTAINERFILE = `
FROM scratch AS tools
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]

FROM tools
ARG WHO=nobody
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /length
RUN echo "hello $WHO" > /greeting
CMD ["cat", "/greeting", "/length"]
`

async function main(directory: string): Promise<void> {
  await using runtime = await Runtime.open({
    root: join(directory, 'root'),
    runRoot: join(directory, 'run'),
    // Which images may be pulled is a decision: here none is needed, and none may be.
    policy: { default: [{ type: 'reject' }] },
  })
  const options = {
    context: contextIn(directory),
    containerfile: { text: CONTAINERFILE },
    name: 'greeting:1',
    args: { WHO: 'world' },
    // In no layer, no history and no list of processes.
    secrets: { token: 'a secret' },
  }
  const build = runtime.images.build(options)
  for await (const progress of build) {
    if (progress.phase === 'step') console.log(`${progress.step}/${progress.steps} ${progress.instruction}`)
    if (progress.phase === 'output') console.log(`  ${progress.line}`)
  }
  const image = await build
  console.log(`built ${image.name} (${image.id.slice(0, 12)})`)
  const { stdout } = await runtime.run(image, ['cat', '/greeting', '/length'])
  console.log(stdout.trim())

  const begin = performance.now()
  await runtime.images.build(options)
  console.log(`again, out of the cache: ${Math.round(performance.now() - begin)} ms`)

  await runtime.images.build({ containerfile: { text: 'FROM greeting:1\nRUN exit 3' } }).catch((error: unknown) => {
    if (!isPodlibError(error, 'ERR_BUILD_FAILED')) throw error
    console.log(`${error.code}: ${error.message}`)
  })
  // Through podlib, because files of an image may belong to ids that only the user namespace of this user can remove.
  await runtime.images.removeBuildCache()
  for (const { id } of await runtime.images.list()) await runtime.images.remove(id, { force: true })
}

/** A directory with what the Containerfile copies. */
function contextIn(directory: string): string {
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
  if (busybox === undefined) throw new Error('busybox is not installed (Debian: busybox-static)')
  const context = join(directory, 'context')
  mkdirSync(context)
  copyFileSync(busybox, join(context, 'busybox'))
  return context
}

const directory = mkdtempSync(join(tmpdir(), 'podlib-build-'))
try {
  await main(directory)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
