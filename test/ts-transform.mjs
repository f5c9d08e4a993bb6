import { createHash } from 'node:crypto'
import ts from 'typescript'

// Jest transforms sources one file at a time; type checking is `npm run typecheck`.
const compilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  inlineSourceMap: true,
  inlineSources: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
}

export default {
  process: (source, fileName) => ({ code: ts.transpileModule(source, { compilerOptions, fileName }).outputText }),
  getCacheKey: (source, fileName, { instrument }) =>
    createHash('sha1').update(ts.version).update(source).update(fileName).update(String(instrument)).digest('hex'),
}
