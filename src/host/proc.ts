import { readdirSync, readFileSync } from 'node:fs'

/** The fields of `/proc/<pid>/stat` that podlib goes by. */
export interface ProcessStat {
  readonly pid: number
  /** The program's name, at most 15 bytes, as the process likes to be called. */
  readonly command: string
  /** `R`, `S`, `D`, `Z` and so on. */
  readonly state: string
  readonly parent: number
  readonly session: number
  /** Clock ticks from boot to the start of the process: tells a process from a later one with the same number. */
  readonly startTime: number
  /** Whether it runs a program of its own: false from its fork on until it calls execve(2). */
  readonly executed: boolean
}

/** A bit of the flags word; include/linux/sched.h. */
const PF_FORKNOEXEC = 0x40

/**
 * Parses one line of `/proc/<pid>/stat`. The name stands in brackets and may itself hold brackets,
 * blanks and line ends, so fields are counted from the last bracket on.
 *
 * @see proc_pid_stat(5)
 */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const [open, close] = [text.indexOf('('), text.lastIndexOf(')')]
  if (open < 0 || close < open) return undefined
  const rest = text.slice(close + 2).split(' ')
  const startTime = Number(rest[19])
  if (rest.length < 20 || !Number.isFinite(startTime)) return undefined
  return {
    pid: Number(text.slice(0, open)),
    command: text.slice(open + 1, close),
    state: rest[0] as string,
    parent: Number(rest[1]),
    session: Number(rest[3]),
    startTime,
    executed: (Number(rest[6]) & PF_FORKNOEXEC) === 0,
  }
}

/** A process as `/proc` shows it, or undefined when there is none of that number. */
export function readProcess(pid: number): ProcessStat | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    // Gone, or going: ENOENT and ESRCH mean the same here.
    return undefined
  }
}

/** Whether that very process still runs: a zombie and a successor with the same number do not count. */
export function isSameProcess(pid: number, startTime: number): boolean {
  const found = readProcess(pid)
  return found !== undefined && found.startTime === startTime && found.state !== 'Z' && found.state !== 'X'
}

/** Every process that this one can see. */
export function listProcesses(): ProcessStat[] {
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return numbers.map((name) => readProcess(Number(name))).filter((process) => process !== undefined)
}

/**
 * The processes that descend from any of `roots` (not these themselves), and those that left their
 * parent but are still in a session that one of the descendants leads.
 */
export function descendants(roots: readonly number[], processes: readonly ProcessStat[]): ProcessStat[] {
  const found = new Map<number, ProcessStat>()
  const family = new Set(roots)
  for (let grown = true; grown; ) {
    grown = false
    for (const process of processes) {
      const { pid, parent, session } = process
      if (family.has(pid) || !(family.has(parent) || found.has(session))) continue
      family.add(pid)
      found.set(pid, process)
      grown = true
    }
  }
  return [...found.values()]
}

/**
 * Kills a process, everything that descends from it, and everything else that `belongs` to it. The tree is stopped from the
 * top down until nothing new turns up, and only then killed: a member that forks meanwhile cannot get a child past us.
 *
 * @returns what was killed; it is gone as soon as the kernel gets to it
 */
export function killTree(root: number, belongs: (process: ProcessStat) => boolean = () => false): ProcessStat[] {
  const stopped = new Map<number, ProcessStat>()
  const stop = (process: ProcessStat | undefined): boolean => {
    if (process === undefined || stopped.has(process.pid)) return false
    stopped.set(process.pid, process)
    signalProcess(process, 'SIGSTOP')
    return true
  }
  for (let grown = stop(readProcess(root)); grown; ) {
    const processes = listProcesses()
    grown = [...descendants([...stopped.keys()], processes), ...processes.filter(belongs)].map(stop).includes(true)
  }
  for (const process of stopped.values()) signalProcess(process, 'SIGKILL')
  return [...stopped.values()]
}

/** Sends a signal to that very process; one that is gone needs none. */
export function signalProcess({ pid, startTime }: Pick<ProcessStat, 'pid' | 'startTime'>, signal: NodeJS.Signals): void {
  if (!isSameProcess(pid, startTime)) return
  try {
    process.kill(pid, signal)
  } catch {
    // It ended between the two lines.
  }
}

/** Changes with every boot of the machine. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}
