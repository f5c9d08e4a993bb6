// Compiles each src/spec/schemas/NAME.json to a standalone src/spec/generated/NAME.js, because compiling at run time
// would cost 180 ms and load ajv. One file a schema: who validates an image config need not load the rest.
//   node .ci/generate-validators.mjs            writes src/spec/generated/
//   node .ci/generate-validators.mjs --check    fails when what is there differs
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import standalone from 'ajv/dist/standalone/index.js'

const SCHEMAS = new URL('../src/spec/schemas/', import.meta.url)
const GENERATED = new URL('../src/spec/generated/', import.meta.url)
const HEADER = '// Written by .ci/generate-validators.mjs from src/spec/schemas. Do not edit.\n'

const TYPES = `${HEADER}import type { Validator } from '../validator.js'

export declare const validate: Validator
`

// Lengths are counted in UTF-16 units (`unicode: false`), so that the output needs no helper of ajv's; `$data` stays off
// (CVE-2025-69873); the first error ends the work, which bounds it for hostile input. Messages are written by
// src/spec/validator.ts: leaving them out here makes the code a third smaller.
const OPTIONS = {
  strict: true,
  strictTypes: false,
  strictRequired: false,
  allowUnionTypes: true,
  discriminator: true,
  unicode: false,
  ownProperties: true,
  allErrors: false,
  messages: false,
  inlineRefs: false,
  $data: false,
  logger: false,
  code: { source: true, esm: true },
}

const check = process.argv.includes('--check')
await mkdir(GENERATED, { recursive: true })
const expected = new Set()
for (const file of (await readdir(SCHEMAS)).filter((name) => name.endsWith('.json')).sort()) {
  const name = file.slice(0, -'.json'.length)
  await emit(`${name}.js`, compile(JSON.parse(await readFile(new URL(file, SCHEMAS), 'utf8'))))
  await emit(`${name}.d.ts`, TYPES)
}
for (const file of await readdir(GENERATED)) {
  if (!expected.has(file)) complain(`src/spec/generated/${file} has no schema`)
}

function compile(schema) {
  const ajv = new Ajv2020({ ...OPTIONS, schemas: [schema] })
  const code = standalone.default(ajv, { validate: schema.$id })
  if (/\brequire\(|^import /m.test(code)) throw new Error(`${schema.$id} needs a module at run time: avoid the keyword that does`)
  return `${HEADER}${code}\n`
}

async function emit(file, text) {
  expected.add(file)
  const url = new URL(file, GENERATED)
  if (!check) return writeFile(url, text)
  if ((await readFile(url, 'utf8').catch(() => '')) !== text) complain(`src/spec/generated/${file} is out of date`)
}

function complain(message) {
  console.error(`${message}: run node .ci/generate-validators.mjs`)
  process.exitCode = 1
}
