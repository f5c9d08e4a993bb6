import { once } from 'node:events'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { isPooled } from '../../../archive/release-chunk.ts'
import { fromWireError, toWireError, type WireError } from '../../../errors/errors.ts'
import { openLayerContent } from './layer-content.ts'
import { type ContentMessage, type ContentTask, STOPPED, WAITING } from './threaded-content.ts'

/*
 * The thread behind a `ThreadedContent`: sends the tar, and ends when it is told to. What it has open ends with it.
 */
/** Chunks that may wait, each with up to 1 MiB of memory: enough to go on while a hundred small files are made. */
const MAX_WAITING = 8

const port = parentPort as MessagePort
const { input, shared } = workerData as ContentTask
const counts = new Int32Array(shared)
const content = openLayerContent(input, new AbortController().signal)
const damaged = once(port, 'message') as Promise<[WireError]>

/** The part so far of a buffer of which more is to come: inflating goes on where it stopped in it. */
let open: { readonly buffer: ArrayBuffer; readonly start: number; length: number } | undefined

function send(message: ContentMessage): void {
  port.postMessage(message, 'buffer' in message ? [message.buffer] : [])
}

/** Chunks that share a buffer come one after the other. */
function take(chunk: Buffer): void {
  if (chunk.length === 0) return
  const { buffer, byteOffset: start, length } = isPooled(chunk) ? Buffer.from(new Uint8Array(chunk).buffer) : chunk
  if (open?.buffer !== buffer) sendOpen()
  if (open === undefined) open = { buffer: buffer as ArrayBuffer, start, length }
  else open.length += length
  if (open.start + open.length === buffer.byteLength) sendOpen()
}

function sendOpen(): void {
  if (open === undefined) return
  Atomics.add(counts, WAITING, 1)
  send({ ...open, bytes: content.bytes })
  open = undefined
  for (let count = waiting(); count > MAX_WAITING; count = waiting()) Atomics.wait(counts, WAITING, count)
}

function waiting(): number {
  return isStopped() ? 0 : Atomics.load(counts, WAITING)
}

function isStopped(): boolean {
  return Atomics.load(counts, STOPPED) !== 0
}

async function sendAll(): Promise<void> {
  for await (const chunk of content.chunks()) {
    if (isStopped()) return
    take(chunk)
  }
  sendOpen()
  send({ proven: await content.prove() })
}

try {
  await sendAll()
} catch (error) {
  send({ failed: toWireError(await content.blame(error)) })
}
const [damage] = await damaged
send({ blamed: toWireError(await content.blame(fromWireError(damage))) })
