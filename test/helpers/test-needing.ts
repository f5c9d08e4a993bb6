import { test } from '@jest/globals'
import { type Ability, lacking } from './abilities.ts'

/**
 * A test that needs something of the machine. Where that is missing the test is skipped, and its name says for want of
 * what: the test runner checks that this is true.
 */
export function testNeeding(needs: readonly Ability[], name: string, work: () => Promise<void>, timeoutMs?: number): void {
  const missing = lacking(needs)
  if (missing.length === 0) test(name, work, timeoutMs)
  else test.skip(`${name} [needs ${missing.join(', ')}]`, work, timeoutMs)
}
