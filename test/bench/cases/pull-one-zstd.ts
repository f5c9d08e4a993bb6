import { pullCase } from '../pull-case.ts'

export const benchCase = pullCase('one', 'zstd', 2.3)
