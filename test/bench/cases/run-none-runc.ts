import { runCase } from '../run-case.ts'

export const benchCase = runCase('runc', 2.3)
