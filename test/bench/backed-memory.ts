import { runProgram } from '../helpers/programs.ts'

/** More than a pull uses, with what it leaves in the kernel's cache. */
const SIZE = '3G'

/**
 * A hypervisor takes back what memory its guest has not used for a moment, and a page that is used for the first time after
 * that costs more than copying it. Whose turn it is would pay for the pause before it, up to a third of the time of a pull:
 * so the memory is used once before each turn.
 */
export async function backMemory(): Promise<void> {
  await runProgram('dd', ['if=/dev/zero', 'of=/dev/null', `bs=${SIZE}`, 'count=1', 'iflag=fullblock'])
}
