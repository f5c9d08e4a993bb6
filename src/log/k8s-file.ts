import { rmSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { RecordParser } from './k8s-records.ts'
import type { LogDriver, LogRecord, ReadLogOptions } from './log-driver.ts'
import { LogFile } from './log-file.ts'
import { tailOffset } from './tail-offset.ts'

/** The log format of Kubernetes, which conmon writes. What podman calls `json-file` is the same file. */
export const k8sFile: LogDriver = {
  name: 'k8s-file',
  monitorArguments: ({ path, maxSize }) => [
    '--log-path',
    `k8s-file:${path}`,
    ...(maxSize === null ? [] : ['--log-size-max', String(maxSize)]),
  ],
  read: (options) => ({ [Symbol.asyncIterator]: () => oneByOne(readBatches(options)) }),
  remove(path) {
    // What conmon leaves when it is killed while it rotates.
    for (const left of [path, `${path}.tmp`]) rmSync(left, { force: true })
  },
}

/** Hands records out singly. An async generator would cost three times as much for each. */
function oneByOne(batches: AsyncGenerator<LogRecord[]>): AsyncIterator<LogRecord> {
  let batch: LogRecord[] = []
  let index = 0
  const next = async (): Promise<IteratorResult<LogRecord>> => {
    while (index >= batch.length) {
      const { done, value } = await batches.next()
      if (done) return { done: true, value: undefined }
      batch = value
      index = 0
    }
    return { done: false, value: batch[index++] as LogRecord }
  }
  return {
    next: () => (index < batch.length ? Promise.resolve({ done: false, value: batch[index++] as LogRecord }) : next()),
    async return() {
      index = batch.length
      await batches.return(undefined)
      return { done: true, value: undefined }
    },
  }
}

async function* readBatches(options: ReadLogOptions): AsyncGenerator<LogRecord[]> {
  const { path, signal, tail } = options
  signal?.throwIfAborted()
  const parser = new RecordParser({ bytes: options.bytes })
  const changes = options.follow ? watchChanges(options) : undefined
  let file = await LogFile.open(path)
  try {
    if (tail !== undefined && file !== undefined) {
      file.seek(await tailOffset(file, tail))
      const last = await lastRecords(readToEnd(file, parser, signal), tail)
      yield select(options.follow ? last : lastOf([...last, ...parser.finish()], tail), options)
    }
    while (true) {
      for await (const records of readToEnd(file, parser, signal)) {
        yield select(records, options)
        if (options.follow && isPast(records, options.until)) return
      }
      if (file === undefined || (await file.isReplaced())) {
        const replacement = await LogFile.open(path)
        if (replacement !== undefined) {
          // What was written to it since it was read to its end, before the other took its place.
          for await (const records of readToEnd(file, parser, signal)) yield select(records, options)
          await file?.close()
          file = replacement
          continue
        }
      }
      if (changes === undefined || !(await changes.next())) break
    }
    yield select(parser.finish(), options)
  } finally {
    changes?.stop()
    await file?.close()
  }
}

async function* readToEnd(file: LogFile | undefined, parser: RecordParser, signal: AbortSignal | undefined): AsyncGenerator<LogRecord[]> {
  for (let block = await file?.read(); block !== undefined; block = await file?.read()) {
    signal?.throwIfAborted()
    const records = parser.parse(block)
    if (records.length > 0) yield records
  }
}

async function lastRecords(batches: AsyncIterable<LogRecord[]>, count: number): Promise<LogRecord[]> {
  let last: LogRecord[] = []
  for await (const records of batches) last = lastOf([...last, ...records], count)
  return last
}

function lastOf(records: LogRecord[], count: number): LogRecord[] {
  return count === 0 ? [] : records.slice(-count)
}

function select(records: LogRecord[], { since, until }: ReadLogOptions): LogRecord[] {
  if (since === undefined && until === undefined) return records
  return records.filter(({ time }) => (since === undefined || time >= since) && (until === undefined || time <= until))
}

function isPast(records: LogRecord[], until: Date | undefined): boolean {
  return until !== undefined && records.some(({ time }) => time > until)
}

interface Changes {
  /** Waits until there may be something new; false when nothing can come any more and everything has been looked at since. */
  next(): Promise<boolean>
  stop(): void
}

/** Watches the directory, which shows both writes to the log and another file in its place. */
function watchChanges({ path, exited, signal }: ReadLogOptions): Changes {
  let dirty = false
  let over = false
  let lastLook = false
  let wake = () => {}
  const name = basename(path)
  const notice = () => {
    dirty = true
    wake()
  }
  const watcher = watch(dirname(path), (_event, changed) => {
    if (changed === null || changed === name) notice()
  })
  watcher.on('error', notice)
  const end = () => {
    over = true
    wake()
  }
  exited?.then(end, end)
  signal?.addEventListener('abort', end, { once: true })
  return {
    async next() {
      if (!dirty && !over) await new Promise<void>((resolve) => (wake = resolve))
      signal?.throwIfAborted()
      dirty = false
      if (!over) return true
      if (lastLook) return false
      lastLook = true
      return true
    },
    stop() {
      watcher.close()
      signal?.removeEventListener('abort', end)
    },
  }
}
