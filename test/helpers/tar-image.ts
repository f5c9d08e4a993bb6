import { createHash } from 'node:crypto'
import { tar } from './tar-builder.ts'

const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** An archive of Docker with one image for this machine, which has these tars for layers, bottom first. */
export function tarImage(name: string, layers: readonly Buffer[]): Buffer {
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['sh'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${hash(layer)}`) },
  })
  const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: layers.map((_, position) => `${position}.tar`) }]
  return tar(
    ...layers.map((content, position) => ({ name: `${position}.tar`, content })),
    { name: 'config.json', content: config },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  )
}
