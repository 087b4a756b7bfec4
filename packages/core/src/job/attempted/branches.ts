import { after, type Timer } from '../../database/timer.ts'
import { isConnectionLost } from '../../errors/blame.ts'
import { shown } from '../../errors/checked-text.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { Deliveries } from './deliveries.ts'
import type { JobWait, Suspension } from './suspension.ts'

/** The place of one end in the order of ends; undefined: it is not stored. */
export interface Turn {
  position?: number
  /** Its end is stored: whoever runs again learns the same. */
  stored?: boolean
}

/** A wait that is stored, and not over. */
export interface OpenWait {
  readonly id: string
  /** For people. */
  readonly waiting: Readonly<Record<string, unknown>>
  /** In how many milliseconds it is over at the latest; infinity: never. */
  readonly left: number
  /** What it waits for besides the time; read when the attempt is suspended. */
  readonly wait?: () => JobWait | readonly JobWait[]
  /** Looks whether it is over, in an attempt that goes on meanwhile. */
  readonly look?: () => Promise<boolean>
}

interface Pending extends OpenWait {
  readonly due: number
  readonly timer: Timer | undefined
  readonly end: () => void
}

/** How an attempt ends although its code does not. */
export type EarlyEnd =
  | { readonly kind: 'suspended'; readonly suspension: Suspension }
  /** `begin` stores that the job begins anew; to be called when nothing is under way any more. */
  | { readonly kind: 'continued'; readonly begin: () => Promise<unknown> }

// How often an attempt that goes on looks whether one of its waits is over.
const lookInterval = 200
const mostTold = 20

/** For how many milliseconds an attempt must be quiet before it is suspended, unless it has shown that it needs longer. */
const defaultPatience = 30

/**
 * What goes on in one attempt: any number of steps, transactions and waits at once.
 *
 * An attempt is suspended when it waits, nothing of this library is under way in it, and its code has been quiet for a
 * moment. What else the code is doing nobody can see: code that shows up after that wakes its job again, whose next
 * attempt is given more time (`onLively`).
 *
 * INVARIANT: once the attempt is over, nothing begins, and nothing that was handed out settles any more: code that was
 * left behind stays where it is. Only code of an attempt that was cut off (lost, too late) is told so, by an error.
 */
export class Branches {
  readonly deliveries: Deliveries = new Deliveries()
  patience: number = defaultPatience
  fatal: { readonly error: unknown } | undefined
  /** Whether the attempt ends because the database was away: nothing that its code did has failed. */
  brokenOff = false
  /** Called when code of a suspended attempt shows up. */
  onLively: () => void = () => {}
  readonly #waits = new Map<string, Pending>()
  readonly #used = new Map<string, string>()
  readonly #ended = Promise.withResolvers<EarlyEnd>()
  readonly #unhandled = new Map<string, unknown>()
  readonly #handled = new Map<string, unknown>()
  #state: 'open' | 'closed' | 'suspended' = 'open'
  #busy = 0
  #overdue: { readonly left: number; readonly tell: () => void }[] = []
  #quiet: NodeJS.Timeout | undefined
  #looking: NodeJS.Timeout | undefined
  /** Whether a look is under way, and whether the suspension waits for it. */
  #inLook = false
  #postponed = false
  #snooze: Suspension | undefined
  #idle: PromiseWithResolvers<void> | undefined

  readonly #late: () => Error | undefined
  readonly #stop: (error: unknown) => Error | undefined

  /**
   * @param late - what code is told that goes on after the attempt was cut off.
   * @param stop - what ends the attempt instead of an error that its code would take for a failure.
   */
  constructor(late: () => Error | undefined, stop: (error: unknown) => Error | undefined) {
    this.#late = late
    this.#stop = stop
    // Nobody listens any more when the attempt has ended otherwise.
    this.#ended.promise.catch(() => {})
  }

  /** Resolves when nothing in the attempt can go on; rejects when it is to fail whatever its code does. */
  get ended(): Promise<EarlyEnd> {
    return this.#ended.promise
  }

  /**
   * Takes an id for one use in this attempt.
   *
   * @throws TidemarkError TIDEMARK_DUPLICATE_STEP.
   */
  use(job: string, id: string, kind: string, stored: string | undefined): void {
    const before = this.#used.get(id) ?? (stored === kind ? undefined : stored)
    if (before === undefined) {
      this.#used.set(id, kind)
      return
    }
    throw new TidemarkError(
      'TIDEMARK_DUPLICATE_STEP',
      `${job}: the id ${shown(id)} of this ${kind} is taken by a ${before} of the same job`,
      { details: { job, step: id, kind, takenBy: before } },
    )
  }

  has(id: string): boolean {
    return this.#used.has(id)
  }

  /**
   * Hands out the answer of some work of ours, in its turn.
   *
   * INVARIANT: neither that the database was away nor that the attempt is to stop is told to the code, which would take it
   * for the end of a step or a wait and go another way than the next attempt does: it ends the attempt.
   */
  give<T>(work: (turn: Turn) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    // Whoever awaits it late, or not at all, does not end the process.
    promise.catch(() => {})
    if (this.#state !== 'open') {
      const late = this.#late()
      if (late !== undefined) reject(late)
      else if (this.#state === 'suspended') this.onLively()
      return promise
    }
    this.#enter()
    const turn: Turn = {}
    const tell = (deliver: () => void): void => {
      this.deliveries.tell(turn.position, () => {
        const late = this.#state === 'open' ? undefined : this.#late()
        if (late !== undefined) reject(late)
        else if (this.#state === 'open') deliver()
        this.#leave()
      })
    }
    begun(work, turn).then(
      (value) => tell(() => resolve(value)),
      (error: unknown) => {
        const stop = turn.stored === true ? undefined : this.#stop(error)
        if (stop !== undefined) this.#breakOff(turn, stop)
        // What looks like it may be the work's own: a service that refuses connections has nothing to do with ours.
        else if (turn.stored !== true && isConnectionLost(error)) {
          this.brokenOff = true
          this.#breakOff(turn, error)
        } else tell(() => reject(error))
      },
    )
    return promise
  }

  /** Waits, and answers whether it was over before its time was. */
  async wait(wait: OpenWait): Promise<boolean> {
    if (wait.left <= 0) return this.#isOver(wait.left)
    const over = Promise.withResolvers<boolean>()
    const end = (inTime: boolean): void => {
      const pending = this.#waits.get(wait.id)
      if (pending === undefined) return
      this.#waits.delete(wait.id)
      pending.timer?.clear()
      this.#enter()
      over.resolve(inTime)
    }
    const timer = Number.isFinite(wait.left) ? after(wait.left, () => end(false)) : undefined
    const due = performance.now() + wait.left
    this.#waits.set(wait.id, { ...wait, due, timer, end: () => end(true) })
    this.#look()
    this.#leave()
    return over.promise
  }

  /** Ends the attempt with an error that its code cannot catch, and that is not tried again. */
  fail(error: unknown): void {
    this.fatal = { error }
    this.#ended.reject(error)
  }

  /** Ends the attempt with an error that its code does not see. */
  #breakOff({ position }: Turn, error: unknown): void {
    if (position !== undefined) this.deliveries.giveBack(position)
    if (this.#state === 'open') this.#state = 'closed'
    this.#ended.reject(error)
    this.#leave()
  }

  /** Ends the attempt: nothing begins any more, and nothing is told to its code. */
  end(end: EarlyEnd): Promise<never> {
    if (this.#state === 'open') {
      this.#state = 'closed'
      this.#ended.resolve(end)
    } else if (this.#state === 'suspended') this.onLively()
    const late = this.#late()
    return late === undefined ? new Promise<never>(() => {}) : Promise.reject(late)
  }

  /** Suspends the attempt as soon as nothing is under way in it. */
  snooze(suspension: Suspension): Promise<never> {
    if (this.#state === 'open') this.#snooze ??= suspension
    this.#watch()
    return new Promise<never>(() => {})
  }

  /** Notes that a step has failed, as far as the code knows by now. */
  failed(id: string, error: unknown): void {
    this.#unhandled.set(id, error)
  }

  /** Notes that the code goes on: whatever has failed before, it has dealt with. */
  goesOn(): void {
    for (const [id, error] of this.#unhandled) this.#handled.set(id, error)
    this.#unhandled.clear()
  }

  /** The steps that are to be tried again after the attempt has failed with `error`, but for those with a final error. */
  toTryAgain(error: unknown, isFinal: (failure: unknown) => boolean): string[] {
    const causes = within(error)
    const failures = [
      ...this.#unhandled,
      ...[...this.#handled].filter(([, one]) => causes.has(one)),
    ]
    return failures.flatMap(([id, failure]) => (isFinal(failure) ? [] : [id]))
  }

  /** Whether anything is under way or waited for. */
  get unfinished(): boolean {
    return this.#state === 'open' && (this.#busy > 0 || this.#waits.size > 0)
  }

  /** Lets nothing begin or go on any more; resolves when what is under way has ended. */
  close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'closed'
    this.#stopWaiting()
    if (this.#busy === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  #enter(): void {
    this.#busy += 1
    clearTimeout(this.#quiet)
    this.#quiet = undefined
  }

  #leave(): void {
    this.#busy -= 1
    if (this.#busy > 0) return
    this.#idle?.resolve()
    this.#watch()
  }

  /** Of several waits whose time is over, the one that was over first is told first. */
  async #isOver(left: number): Promise<false> {
    const told = Promise.withResolvers<false>()
    this.#overdue.push({ left, tell: () => told.resolve(false) })
    if (this.#overdue.length === 1) {
      setImmediate(() => {
        const overdue = this.#overdue.toSorted((a, b) => a.left - b.left)
        this.#overdue = []
        for (const { tell } of overdue) tell()
      })
    }
    return told.promise
  }

  /** Suspends the attempt when it stays quiet. */
  #watch(): void {
    if (this.#busy > 0 || this.#state !== 'open' || this.#quiet !== undefined) return
    if (this.#snooze === undefined && this.#waits.size === 0) return
    const patience = this.#snooze === undefined ? this.patience : 0
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined
      // What has come in meanwhile is heard first.
      setImmediate(() => this.#suspend())
    }, patience)
  }

  #suspend(): void {
    if (this.#busy > 0 || this.#state !== 'open') return
    // A look may take what it waits for: a signal that is taken wakes nobody any more.
    this.#postponed = this.#inLook
    if (this.#postponed) return
    const suspension = this.#snooze ?? this.#suspension()
    this.#state = 'suspended'
    this.#stopWaiting()
    this.#ended.resolve({ kind: 'suspended', suspension })
  }

  #suspension(): Suspension {
    const waits = [...this.#waits.values()]
    const [first] = waits
    const told = waits.slice(0, mostTold).map(({ waiting }) => waiting)
    return {
      delay: Math.max(0, Math.min(...waits.map(({ due }) => due)) - performance.now()),
      waiting:
        waits.length === 1 && first !== undefined
          ? first.waiting
          : { for: 'the first of several', waits: told, count: waits.length },
      waits: waits.flatMap(({ wait }) => wait?.() ?? []),
    }
  }

  #stopWaiting(): void {
    clearTimeout(this.#quiet)
    clearTimeout(this.#looking)
    for (const { timer } of this.#waits.values()) timer?.clear()
  }

  /** Looks at the waits now and then, for as long as something else goes on. */
  #look(): void {
    if (this.#looking !== undefined) return
    this.#looking = setTimeout(() => void this.#lookOnce(), lookInterval)
  }

  async #lookOnce(): Promise<void> {
    this.#inLook = true
    for (const { id, look, end } of this.#waits.values()) {
      try {
        if (this.#state === 'open' && this.#waits.has(id) && (await look?.()) === true) end()
      } catch {
        // The server is away, say. It is looked at again, and by others once the attempt is suspended.
      }
    }
    this.#inLook = false
    this.#looking = undefined
    if (this.#postponed) this.#suspend()
    if (this.#waits.size > 0 && this.#state === 'open') this.#look()
  }
}

/** Begins some work; what it throws before it first waits is as what it throws later. */
function begun<T>(work: (turn: Turn) => Promise<T>, turn: Turn): Promise<T> {
  try {
    return work(turn)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** An error, what it came of, and the errors within. */
function within(error: unknown): ReadonlySet<unknown> {
  const seen = new Set<unknown>()
  const open = [error]
  while (open.length > 0 && seen.size < 1000) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null || seen.has(next)) {
      seen.add(next)
      continue
    }
    seen.add(next)
    try {
      const { cause, errors } = next as { cause?: unknown; errors?: unknown }
      if (cause !== undefined) open.push(cause)
      if (Array.isArray(errors)) open.push(...(errors as unknown[]).slice(0, 1000))
    } catch {
      // An accessor that throws hides nothing that could be tried again.
    }
  }
  return seen
}
