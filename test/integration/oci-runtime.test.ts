import { describe } from '@jest/globals'
import { ociRuntimeContract } from '../contract/oci-runtime.ts'

describe.each(['crun', 'runc'] as const)('%s', (name) => ociRuntimeContract(name))
