import { pullCase } from '../pull-case.ts'

export const benchCase = pullCase('one', 'gzip', 2.5)
