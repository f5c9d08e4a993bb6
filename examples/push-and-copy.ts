// node examples/push-and-copy.ts: pushes an image to a registry, and copies it to files and back. As root or as any user; needs
// docker-registry and a static busybox, for a registry of its own on this machine.
//
// Nothing is left behind: registry, images and files live in a temporary directory that is removed at the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isPodlibError, Runtime } from '../src/index.ts'
import { serveImage } from './support/image-server.ts'

async function main(directory: string): Promise<void> {
  await using server = await serveImage(directory)
  await using runtime = await Runtime.open({
    root: join(directory, 'root'),
    runRoot: join(directory, 'run'),
    // Asked about what is pulled, and about what is copied.
    policy: { default: [{ type: 'insecureAcceptAnything' }] },
    insecureRegistries: [server.host],
  })
  const image = await runtime.images.pull(server.image)

  // The registry has the layers as they came: nothing is sent, and the digest stays.
  const pushing = image.push(`${server.host}/team/app:1`)
  for await (const progress of pushing) if ('layer' in progress) console.log(`  ${progress.phase} ${progress.layer.slice(7, 19)}`)
  const pushed = await pushing
  console.log(`pushed ${pushed.destination}, verbatim: ${pushed.verbatim}, layers:`, pushed.layers)

  // Asked for another compression, podlib compresses anew. The image is the same, its manifest another.
  const zstd = await image.push(`${server.host}/team/app:zstd`, { compression: 'zstd' })
  console.log(`pushed ${zstd.destination}, verbatim: ${zstd.verbatim}, layers:`, zstd.layers)

  // Without the store, byte for byte: from a registry to a layout, from there to an archive, and to a registry again.
  const places = [`oci:${join(directory, 'layout')}:v1`, `oci-archive:${join(directory, 'app.tar')}:v1`, `${server.host}/copy/app:1`]
  let from = pushed.destination
  for (const to of places) {
    const { destination, manifestDigest, converted, blobs } = await runtime.images.copy(from, to)
    console.log(
      `copied to ${destination.replace(directory, '...')}, same digest: ${manifestDigest === pushed.manifestDigest && !converted}`,
      blobs,
    )
    from = to
  }

  // Docker's archives have no manifest; the image ID stays.
  const archive = `docker-archive:${join(directory, 'docker.tar')}:team/app:1`
  await runtime.images.copy(from, archive)
  console.log(`as an archive of Docker it has the same ID: ${(await runtime.images.pull(archive)).id === image.id}`)

  await runtime.images.push('app', 'registry.invalid/app').catch((error: unknown) => {
    if (!isPodlibError(error, 'ERR_IMAGE_NOT_FOUND')) throw error
    console.log(`${error.code}: ${error.message}`)
  })
  // Through podlib, because files of an image may belong to ids that only the user namespace of this user can remove.
  for (const { id } of await runtime.images.list()) await runtime.images.remove(id, { force: true })
}

const directory = mkdtempSync(join(tmpdir(), 'podlib-push-'))
try {
  await main(directory)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
