import { field } from './foreign-value.ts'

/**
 * Where errors come from. An SQLSTATE says what is wrong, not with whom: a handler that asks another server, or makes an
 * error up, throws what looks just like the trouble of Tidemark's own.
 */
const told = new WeakSet<object>()
const own = new WeakSet<object>()
const unreached = new WeakSet<object>()
const planless = new WeakSet<object>()

// Where ORMs and people keep the error that theirs is about: Drizzle, MikroORM; Sequelize; TypeORM; Objection.
const wrappings = ['cause', 'parent', 'original', 'driverError', 'nativeError'] as const
const deepest = 8

/** Notes that a connection of Tidemark's failed with it. Answers it. */
export function toldByServer<E>(error: E): E {
  if (typeof error === 'object' && error !== null) told.add(error)
  return error
}

/** Notes that no connection could be made, whatever the reason: a password that was changed, a certificate that ran out. */
export function notReached<E>(error: E): E {
  if (typeof error === 'object' && error !== null) unreached.add(error)
  return toldByServer(error)
}

/** Whether what failed is that no connection could be made. */
export function isNotReached(error: unknown): boolean {
  return typeof error === 'object' && error !== null && unreached.has(error)
}

/** Notes of an error that it is of the work's own making, whatever it looks like. */
export function ownToWork(error: unknown): void {
  if (typeof error === 'object' && error !== null) own.add(error)
}

/** Whether it was noted to be of the work's own making. */
export function isOwnToWork(error: unknown): boolean {
  return typeof error === 'object' && error !== null && own.has(error)
}

/** Notes that a statement failed for the plan that its connection had of it, and not for what it asks. */
export function planLost(error: unknown): void {
  if (typeof error === 'object' && error !== null) planless.add(error)
}

/** Whether the plan of a prepared statement of ours was taken, or is older than its table: asked again it may go well. */
export function isPlanLost(error: unknown): boolean {
  return causesOf(error).some((cause) => planless.has(cause))
}

/** What a connection of Tidemark's failed with, however deep it is wrapped; undefined when that is not known. */
export function toldWithin(error: unknown): unknown {
  return causesOf(error).find((cause) => told.has(cause))
}

/** An error and those behind it, the outermost first. Never throws. */
export function causesOf(error: unknown): readonly object[] {
  const causes: object[] = []
  let inner = error
  while (typeof inner === 'object' && inner !== null && causes.length < deepest) {
    const wrapper = inner
    causes.push(wrapper)
    inner = wrappings
      .map((name) => field(wrapper, name))
      .find((value) => typeof value === 'object' && value !== null && !causes.includes(value))
  }
  return causes
}
