import { stepCase } from '../step-case.ts'

export const benchCase = stepCase({
  name: 'stop',
  title: 'stop of a running container without a time to end by itself, cleaned up',
  timesFaster: 6,
  arrange: { podlib: (container) => container.start(), peer: (container) => container.do('start') },
  measure: { podlib: (container) => container.stop({ timeoutMs: 0 }), peer: (container) => container.do('stop', '--time', '0') },
})
