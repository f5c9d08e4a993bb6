import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import type { HashPiece, HashTask } from './threaded-hash.ts'

/*
 * The thread behind a `ThreadedHash`: hashes the pieces that it is sent, and says what came of it at the end.
 */
const { algorithm, waiting } = workerData as HashTask
const hash = createHash(algorithm)
const count = new Int32Array(waiting)
parentPort?.on('message', (piece: HashPiece) => {
  if (piece === 'end') {
    parentPort?.postMessage(hash.digest('hex'))
    return
  }
  hash.update(new Uint8Array(piece.buffer, piece.start, piece.end - piece.start))
  // Given back at once: the garbage collector would let them pile up.
  piece.buffer.transfer(0)
  Atomics.sub(count, 0, 1)
  Atomics.notify(count, 0)
})
