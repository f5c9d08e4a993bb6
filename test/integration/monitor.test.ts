import { describe } from '@jest/globals'
import { monitorContract } from '../contract/monitor.ts'

describe.each(['crun', 'runc'] as const)('conmon with %s', (name) => monitorContract(name))
