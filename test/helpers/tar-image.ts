import { createHash } from 'node:crypto'
import { tar } from './tar-builder.ts'

const hash = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

/** An archive of Docker with one image for this machine, which has these tars for layers, bottom first. */
export function tarImage(name: string, layers: readonly Buffer[], run: object = {}): Buffer {
  return tarImages({ [name]: layers }, run)
}

/** The same with several images by their names; what they share is in the archive once. */
export function tarImages(images: Readonly<Record<string, readonly Buffer[]>>, run: object = {}): Buffer {
  const members = new Map<string, Buffer | string>()
  const add = (content: Buffer | string, suffix: string) => {
    const name = `${hash(content)}${suffix}`
    members.set(name, content)
    return name
  }
  const manifest = Object.entries(images).map(([name, layers]) => {
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: ['sh'], Env: ['PATH=/bin'], ...run },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${hash(layer)}`) },
    }
    return { Config: add(JSON.stringify(config), '.json'), RepoTags: [name], Layers: layers.map((layer) => add(layer, '.tar')) }
  })
  members.set('manifest.json', JSON.stringify(manifest))
  return tar(...[...members].map(([name, content]) => ({ name, content })))
}
