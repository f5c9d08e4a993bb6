import { describe, test } from '@jest/globals'
import { type Ability, lacking } from './abilities.ts'

/**
 * A test that needs something of the machine. Where that is missing the test is skipped, and its name says for want of
 * what: the test runner checks that this is true.
 */
export function testNeeding(needs: readonly Ability[], name: string, work: () => Promise<void>, timeoutMs?: number): void {
  const missing = lacking(needs)
  if (missing.length === 0) test(name, work, timeoutMs)
  else test.skip(`${name} ${reason(missing)}`, work, timeoutMs)
}

/** The same for all tests that `body` declares. It is run in any case, as Jest does. */
export function describeNeeding(needs: readonly Ability[], name: string, body: () => void): void {
  const missing = lacking(needs)
  if (missing.length === 0) describe(name, body)
  else describe.skip(`${name} ${reason(missing)}`, body)
}

const reason = (missing: readonly Ability[]) => `[needs ${missing.join(', ')}]`
