import type { Guard } from '../../database/transaction/guard.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Spawn } from './spawning.ts'

/** Sends what nobody waits for: a text with its values, or a query of Kysely's. */
export function sendThrough(guard: Guard): HandlerContext['send'] {
  return (query, values) => {
    if (typeof query === 'string') return guard.send(query, values)
    const { sql, parameters } = query.compile()
    guard.send(sql, [...parameters])
  }
}

/** Spawns while the guard admits it. */
export function guardedSpawn(guard: Guard, spawn: Spawn): Spawn {
  return ((...given: Parameters<Spawn>) =>
    guard.watch(() => spawn(...given), 'spawned a job')) as Spawn
}
