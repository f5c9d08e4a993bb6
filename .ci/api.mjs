// Compares what the package exports, import by import, with the reports in test/api/, and checks the docs of all of it.
//   node .ci/api.mjs            fails when a report differs
//   node .ci/api.mjs --local    writes the reports
import { resolve } from 'node:path'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'

const REPORTS = { podlib: 'index', 'podlib-registry': 'registry-export', 'podlib-trust': 'trust-export' }

const base = ExtractorConfig.loadFile(resolve('api-extractor.json'))
const localBuild = process.argv.includes('--local')
for (const [report, entry] of Object.entries(REPORTS)) {
  const path = resolve(`dist/${entry}.d.ts`)
  const extractorConfig = ExtractorConfig.prepare({
    configObject: {
      ...base,
      mainEntryPointFilePath: path,
      projectFolder: resolve('.'),
      compiler: { overrideTsconfig: { ...base.compiler.overrideTsconfig, files: [path] } },
      apiReport: { ...base.apiReport, reportFileName: report },
    },
    configObjectFullPath: resolve('api-extractor.json'),
    packageJsonFullPath: resolve('package.json'),
  })
  if (!Extractor.invoke(extractorConfig, { localBuild }).succeeded) process.exitCode = 1
}
