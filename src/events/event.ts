/** What every event of a container tells. @public */
export interface ContainerEventAttributes {
  /** The image's name as it was given. */
  readonly image?: string
  readonly podId?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** What every event of an image tells. @public */
export interface ImageEventAttributes {
  /** The name that it happened under. */
  readonly reference?: string
  readonly digest?: string
}

/** @public */
export interface PodEventAttributes {
  readonly labels?: Readonly<Record<string, string>>
}

/** @public */
export interface VolumeEventAttributes {
  readonly driver?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** @public */
export interface NetworkEventAttributes {
  readonly driver?: string
  readonly labels?: Readonly<Record<string, string>>
}

type Same<Actions extends string, Attributes> = { readonly [Action in Actions]: Attributes }

/** How a process ended. @public */
export interface ExitAttributes {
  readonly exitCode: number
  readonly signal?: string
  readonly oomKilled: boolean
}

type ContainerAction =
  | 'attach'
  | 'checkpoint'
  | 'cleanup'
  | 'commit'
  | 'copy'
  | 'create'
  | 'export'
  | 'init'
  | 'log_rotation'
  | 'mount'
  | 'pause'
  | 'prune'
  | 'remove'
  | 'restart'
  | 'restore'
  | 'start'
  | 'stop'
  | 'sync'
  | 'unmount'
  | 'unpause'
  | 'update'

type ContainerEvents = Same<ContainerAction, ContainerEventAttributes> & {
  /** It has ended, and something of it could not be cleaned up; that is tried again when it is next used or the store is next opened. */
  readonly 'cleanup-error': ContainerEventAttributes & { readonly error: string }
  readonly died: ContainerEventAttributes & ExitAttributes
  readonly exec: ContainerEventAttributes & { readonly execId: string; readonly command: readonly string[] }
  readonly exec_died: ContainerEventAttributes & { readonly execId: string; readonly exitCode: number }
  readonly health_status: ContainerEventAttributes & { readonly health: string; readonly failingStreak: number }
  readonly kill: ContainerEventAttributes & { readonly signal: string }
  readonly rename: ContainerEventAttributes & { readonly oldName: string }
}

type ImageAction = 'build' | 'import' | 'load' | 'mount' | 'prune' | 'pull' | 'push' | 'remove' | 'save' | 'tag' | 'unmount' | 'untag'
type PodAction = 'create' | 'kill' | 'pause' | 'prune' | 'remove' | 'restart' | 'start' | 'stop' | 'unpause'

/**
 * Every action of every kind of object with what its event tells, in podman's words.
 *
 * @public
 */
export interface EventAttributes {
  readonly container: ContainerEvents
  readonly image: Same<ImageAction, ImageEventAttributes> & {
    readonly 'pull-error': ImageEventAttributes & { readonly error: string }
    /**
     * It could be used, but not be brought to the disk. When the disk has refused it, the image is gone, and no container that
     * needs it starts until it is pulled again; else that is tried again with the next pull or open.
     */
    readonly 'sync-error': ImageEventAttributes & { readonly error: string }
  }
  readonly pod: Same<PodAction, PodEventAttributes>
  readonly volume: Same<'create' | 'mount' | 'prune' | 'remove' | 'unmount' | 'update', VolumeEventAttributes>
  readonly network: Same<'create' | 'prune' | 'remove' | 'update', NetworkEventAttributes> &
    Same<'connect' | 'disconnect', NetworkEventAttributes & { readonly containerId: string }>
  readonly secret: Same<'create' | 'remove' | 'update', Readonly<Record<string, never>>>
  readonly system: Same<'refresh' | 'prune', Readonly<Record<string, never>>>
}

/** @public */
export type EventType = keyof EventAttributes

/** The actions of a kind of object, or of all. @public */
export type EventAction<Type extends EventType = EventType> = Type extends EventType ? keyof EventAttributes[Type] & string : never

/** An event before it has a number: what a verb hands to the log. @public */
export type EventDraft = {
  [Type in EventType]: {
    [Action in EventAction<Type>]: {
      readonly type: Type
      readonly action: Action
      /** Id of the object; its name where it has no id. */
      readonly id: string
      readonly name: string
      readonly attributes: EventAttributes[Type][Action]
    }
  }[EventAction<Type>]
}[EventType]

/**
 * Something that happened to an object of the store. `switch (event.type)` and then `event.action` narrow the attributes.
 *
 * @public
 */
export type PodlibEvent = EventDraft & {
  /** Its number: grows with every event of a store. Pass the last one that you have dealt with as `since`. */
  readonly cursor: number
  readonly time: Date
}
