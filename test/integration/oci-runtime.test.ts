import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { ociRuntimeContract } from '../contract/oci-runtime.ts'
import { NO_MKDIR, OciLab } from '../helpers/oci-lab.ts'
import { eventually } from '../helpers/runtime-store.ts'
import { testNeeding } from '../helpers/test-needing.ts'

describe.each(['crun', 'runc'] as const)('%s', (name) => ociRuntimeContract(name))

describe('compiled seccomp filters', () => {
  let lab: OciLab
  beforeAll(async () => {
    lab = await OciLab.open()
  })
  afterAll(() => lab.close())

  testNeeding(['root', 'conmon', 'crun'], 'are the very filters that crun compiles', async () => {
    const runtime = lab.runtime('crun')
    const filters: Buffer[] = []
    const annotated: boolean[] = []
    for (let round = 0; round < 2; round++) {
      const { id, bundle } = lab.container(runtime)
      const made = lab.spec(['/bin/sleep', '1000'], ({ linux }) => Object.assign(linux ?? {}, { seccomp: NO_MKDIR }))
      const spec = await runtime.prepareSpec(id, made)
      annotated.push(spec.annotations?.['run.oci.seccomp_bpf_data'] !== undefined)
      const request = { id, name: id, bundle, spec: JSON.stringify(spec), runtime: runtime.command, log: ['--log-path', 'none'] }
      const { pid } = await lab.monitor.create(request)
      filters.push(readFileSync(join(lab.directory, 'oci/crun', id, 'seccomp.bpf')))
      await runtime.start(id)
      // `start` only wakes the init of the container, which then sets the filter and becomes the program.
      await eventually(() => expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/Seccomp:\t2\nSeccomp_filters:\t1\n/))
    }
    expect(annotated).toEqual([false, true])
    expect(filters[0]?.length).toBeGreaterThan(0)
    expect(filters[1]?.equals(filters[0] as Buffer)).toBe(true)
    const [cached = ''] = readdirSync(join(lab.directory, 'cache/seccomp'))
    // Behind the filter is its digest.
    expect(
      readFileSync(join(lab.directory, 'cache/seccomp', cached))
        .subarray(0, -32)
        .equals(filters[0] as Buffer),
    ).toBe(true)
  })
})
