import { PodlibError } from '../errors/errors.ts'
import type { EventAction, EventDraft } from '../events/event.ts'
import type { LockOptions } from '../lock/locks.ts'
import type { ContainerPatch, ContainerRow } from '../state/container-row.ts'
import { deleteContainer, getContainer, getContainerConfig, setContainerState, updateContainer } from '../state/container-table.ts'
import { putExitRecord } from '../state/exit-record-table.ts'
import type { Context, StoredContainer } from './context.ts'
import { gatherEvidence } from './evidence.ts'
import { reconcile } from './reconcile.ts'
import { type LifecycleEvent, transition } from './state-machine.ts'

type ContainerAction = EventAction<'container'>

/** What is announced of what shows on the host only. */
const CAUGHT_UP: Readonly<Partial<Record<LifecycleEvent['type'], ContainerAction>>> = { started: 'start', exited: 'died' }

/** A container while its lock is held: the row is as the host shows it, and nobody else changes it. */
export class ContainerSession {
  readonly #context: Context
  readonly #forget: () => void
  #row: ContainerRow
  #stored: StoredContainer | undefined

  constructor(context: Context, row: ContainerRow, forget: () => void) {
    this.#context = context
    this.#row = row
    this.#forget = forget
  }

  get row(): ContainerRow {
    return this.#row
  }

  get stored(): StoredContainer {
    this.#stored ??= getContainerConfig(this.#context.db, this.#row.id) as StoredContainer
    return this.#stored
  }

  /** Changes the status, and announces it in the same transaction; with `forget`, the last change of all, the row goes in it too. */
  async apply(
    event: LifecycleEvent,
    options: { readonly announce?: ContainerAction; readonly durable?: boolean; readonly forget?: boolean } = {},
  ): Promise<ContainerRow> {
    const { db } = this.#context
    const { announce, durable = false, forget = false } = options
    const decided = transition(this.#row, event)
    this.#row = await db.transaction(
      () => {
        const row = setContainerState(db, this.#row.id, decided)
        if (event.type === 'exited')
          putExitRecord(db, {
            containerId: row.id,
            exitCode: event.exitCode,
            exitSignal: event.exitSignal,
            oomKilled: event.oomKilled,
            finishedAt: event.finishedAt,
          })
        if (announce) this.#announce(announce, row)
        if (forget) this.#delete(row)
        return row
      },
      { durable },
    )
    if (forget) this.#forget()
    return this.#row
  }

  /** Looks at the host, and writes down what has happened meanwhile. */
  async catchUp(): Promise<void> {
    const event = reconcile(this.#row, await gatherEvidence(this.#context, this.#row))
    if (event === undefined) return
    const announce = CAUGHT_UP[event.type]
    await this.apply(event, announce ? { announce } : {})
  }

  /** Changes anything but the status. */
  async patch(patch: ContainerPatch): Promise<void> {
    const { db } = this.#context
    this.#row = await db.transaction(() => updateContainer(db, this.#row.id, patch))
  }

  async announce(action: ContainerAction, attributes: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.#context.db.transaction(() => this.#announce(action, this.#row, attributes))
  }

  /** Deletes the row: the last step of a removal. */
  async forget(): Promise<void> {
    await this.#context.db.transaction(() => this.#delete(this.#row), { durable: !this.#row.ephemeral })
    this.#forget()
  }

  #delete(row: ContainerRow): void {
    deleteContainer(this.#context.db, row.id)
    this.#announce('remove', row)
  }

  #announce(action: ContainerAction, row: ContainerRow, more: Readonly<Record<string, unknown>> = {}): void {
    const { id, name, imageName, exitCode, exitSignal, oomKilled } = row
    const exit = action === 'died' && { exitCode: exitCode ?? -1, ...(exitSignal && { signal: exitSignal }), oomKilled }
    const attributes = { ...(imageName && { image: imageName }), labels: row.labels, ...exit, ...more }
    this.#context.events.record({ type: 'container', action, id, name, attributes } as EventDraft)
  }
}

/**
 * Locks a container, reads its row, looks at the host, writes down what has happened meanwhile, and runs the verb.
 * The only taker of container locks. Never wait in here for the container's process to end.
 *
 * @throws ERR_CONTAINER_NOT_FOUND when it is gone, ERR_LOCK_TIMEOUT, and whatever the verb throws.
 */
export function withContainer<T>(
  context: Context,
  id: string,
  verb: (session: ContainerSession) => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const work = context.locks.withLock(
    { kind: 'container', id },
    async (lock) => {
      const row = getContainer(context.db, id)
      if (row === undefined) {
        // Who removed it took the lock's file away, and this look has made it anew.
        lock.discard()
        throw new PodlibError('ERR_CONTAINER_NOT_FOUND', `container ${id.slice(0, 12)} was removed`, { details: { id } })
      }
      const session = new ContainerSession(context, row, () => lock.discard())
      await session.catchUp()
      return verb(session)
    },
    options,
  )
  // A runtime that is closed in the middle of it is closed when it is done.
  context.background.add(work)
  return work
}
