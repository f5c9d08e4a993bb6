type Podlib = typeof import('../../src/index.ts')

/** podlib as users get it: sources would be stripped of their types in every process, which costs time and memory. */
export const { Runtime }: Pick<Podlib, 'Runtime'> = await import(new URL('../../dist/index.js', import.meta.url).href)
