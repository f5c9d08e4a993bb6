import { createHash } from 'node:crypto'
import { stripTypeScriptTypes } from 'node:module'

// Jest transforms sources one file at a time, by what Node itself has for it; type checking is `npm run typecheck`. The source
// map is what leads the positions of failures and of coverage back to the sources.
const options = { mode: 'transform', sourceMap: true }

export default {
  // Nothing would be left of a file of declarations.
  process: (source, fileName) => ({
    code: fileName.endsWith('.d.ts') ? '' : stripTypeScriptTypes(source, { ...options, sourceUrl: fileName }),
  }),
  getCacheKey: (source, fileName, { instrument }) =>
    createHash('sha1')
      .update(process.version)
      .update(JSON.stringify(options))
      .update(source)
      .update(fileName)
      .update(String(instrument))
      .digest('hex'),
}
