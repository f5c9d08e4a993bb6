import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from '@jest/globals'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { testNeeding } from '../helpers/test-needing.ts'

const lab = runtimeLab()

testNeeding(RUNTIME_NEEDS, "README's first example runs as it stands, but for where its image comes from", async () => {
  const store = await lab.emptyStore()
  await using registry = await startDockerRegistry()
  const layout = join(store.directory, 'layout')
  await writeSmallImage(layout)
  await registry.push(layout, 'latest', 'library/alpine:3.20')
  const [, example = ''] = /```ts\n(.*?)```/s.exec(readFileSync('README.md', 'utf8')) ?? []
  const options = { ...store.options, insecureRegistries: [registry.host], searchRegistries: [`${registry.host}/library`] }
  const program = example
    .replace("from 'podlib'", `from '${resolve('src/index.ts')}'`)
    .replace('Runtime.open()', `Runtime.open(${JSON.stringify(options)})`)
    .replace('docker.io/', `${registry.host}/`)
  const path = join(store.directory, 'example.mts')
  writeFileSync(path, program)
  const child = spawn(process.execPath, ['--no-warnings', path], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = await once(child, 'exit')
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringMatching(/phase[\s\S]*Linux [\s\S]*stdout \w{3} \w{3} .*\d{4}/) })
})
