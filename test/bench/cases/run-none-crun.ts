import { runCase } from '../run-case.ts'

export const benchCase = runCase('crun', 3.5)
