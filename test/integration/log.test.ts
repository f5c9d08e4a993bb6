import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { k8sFile } from '../../src/log/k8s-file.ts'
import { noLog } from '../../src/log/none.ts'
import { logDriverContract } from '../contract/log-driver.ts'
import { OciLab } from '../helpers/oci-lab.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { until } from '../helpers/until.ts'

describe('k8s-file', () => {
  logDriverContract(k8sFile, (text, { second = 0, partial = false, stream = 'stdout' } = {}) => {
    return `2026-01-02T03:04:${String(second).padStart(2, '0')}.000000000+00:00 ${stream} ${partial ? 'P' : 'F'} ${text}\n`
  })

  test('asks conmon for rotation only when there is a limit', () => {
    expect(k8sFile.monitorArguments({ path: '/l', maxSize: null })).toEqual(['--log-path', 'k8s-file:/l'])
    expect(k8sFile.monitorArguments({ path: '/l', maxSize: 1000 })).toEqual(['--log-path', 'k8s-file:/l', '--log-size-max', '1000'])
  })
})

describe('none', () => {
  test('has nothing to read and says why', () => {
    expect(() => noLog.read({ path: '/l' })).toThrow(expect.objectContaining({ code: 'ERR_CONTAINER_NO_LOGS' }))
    expect(noLog.monitorArguments({ path: '/l', maxSize: null })).toEqual(['--log-path', 'none'])
    noLog.remove('/l')
  })
})

describe('a log that conmon writes', () => {
  let lab: OciLab
  let directory: string
  beforeAll(async () => {
    lab = await OciLab.open()
    directory = mkdtempSync(join(tmpdir(), 'podlib-log-'))
  })
  afterAll(async () => {
    await lab.close()
    rmSync(directory, { recursive: true, force: true })
  })

  async function start(script: string, maxSize: number | null = null) {
    const runtime = lab.runtime('crun')
    const { id, bundle, log } = lab.container(runtime)
    const spec = JSON.stringify(lab.spec(['/bin/sh', '-c', script]))
    await lab.monitor.create({
      id,
      name: id,
      bundle,
      spec,
      runtime: runtime.command,
      log: k8sFile.monitorArguments({ path: log, maxSize }),
    })
    await runtime.start(id)
    return { path: log, exited: until('it ends', () => lab.monitor.exitRecord(id) !== undefined, 30_000) }
  }

  testNeeding(['root', 'conmon', 'crun'], 'is followed to its last line', async () => {
    const { path, exited } = await start('for i in $(seq 2000); do echo "out $i"; done; echo "err" >&2; echo -n "no line end"')
    const texts: string[] = []
    for await (const { stream, text } of k8sFile.read({ path, follow: true, exited })) if (stream === 'stdout') texts.push(text)
    expect(texts).toEqual([...Array.from({ length: 2000 }, (_, index) => `out ${index + 1}`), 'no line end'])
  })

  testNeeding(['root', 'conmon', 'crun'], 'gives long lines whole', async () => {
    const { path, exited } = await start('head -c 100000 /dev/zero | tr "\\0" x; echo')
    await exited
    const lengths: number[] = []
    for await (const { text } of k8sFile.read({ path })) lengths.push(text.length)
    expect(lengths).toEqual([100_000])
  })

  testNeeding(['root', 'conmon', 'crun'], 'is followed across rotation', async () => {
    const { path, exited } = await start('for i in $(seq 300); do echo "line $i"; busybox usleep 2000; done', 4096)
    const seen: number[] = []
    for await (const { text } of k8sFile.read({ path, follow: true, exited })) seen.push(Number(text.split(' ')[1]))
    expect(statSync(path).size).toBeLessThan(4096)
    expect(seen.at(-1)).toBe(300)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(new Set(seen).size).toBe(seen.length)
  })
})
