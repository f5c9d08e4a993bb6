// node open-once.mjs OPTIONS: prints how many milliseconds it takes a new program to import podlib and open a store.
const begin = performance.now()
const { Runtime } = await import(new URL('../../dist/index.js', import.meta.url).href)
await using runtime = await Runtime.open(JSON.parse(process.argv[2]))
console.log(performance.now() - begin)
await runtime.containers.list()
