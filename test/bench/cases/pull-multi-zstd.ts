import { pullCase } from '../pull-case.ts'

export const benchCase = pullCase('multi', 'zstd', 2.3)
