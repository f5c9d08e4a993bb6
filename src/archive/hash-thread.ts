import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { END, type HashRing, SLOT_BYTES, SLOTS } from './threaded-hash.ts'

/*
 * The thread behind a `ThreadedHash`: hashes what lies in the slots of the ring, one after the other, and says what came
 * of it at the end.
 */
const { lengths, data, algorithm } = workerData as HashRing
const hash = createHash(algorithm)
const [states, bytes] = [new Int32Array(lengths), new Uint8Array(data)]
for (let turn = 0; ; turn++) {
  const slot = turn % SLOTS
  Atomics.wait(states, slot, 0)
  const length = Atomics.load(states, slot)
  if (length === END) break
  hash.update(bytes.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + length))
  Atomics.store(states, slot, 0)
  Atomics.notify(states, slot)
}
parentPort?.postMessage(hash.digest('hex'))
