import { stepCase } from '../step-case.ts'

export const benchCase = stepCase({
  name: 'remove',
  title: 'removal of a stopped container',
  timesFaster: 4,
  arrange: {
    podlib: async (container) => {
      await container.start()
      await container.stop({ timeoutMs: 0 })
    },
    peer: async (container) => {
      await container.do('start')
      await container.do('stop', '--time', '0')
    },
  },
  measure: { podlib: (container) => container.remove(), peer: (container) => container.do('rm') },
})
