import { stepCase } from '../step-case.ts'

export const benchCase = stepCase({
  name: 'start',
  title: 'start of a created container',
  timesFaster: 3,
  arrange: { podlib: async () => {}, peer: async () => {} },
  measure: { podlib: (container) => container.start(), peer: (container) => container.do('start') },
})
