import { setTimeout as delay } from 'node:timers/promises'

/** Waits until a condition holds, looking often; fails when it does not within some seconds. */
export async function until(what: string, condition: () => boolean, limitMs = 10_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; !condition(); await delay(5)) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`)
  }
}
