import { pullCase } from '../pull-case.ts'

export const benchCase = pullCase('multi', 'gzip', 2.5)
