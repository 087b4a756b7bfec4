import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../../database/executor.ts'
import { wakeLively } from '../../database/sql/job/job-memory.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Branches } from '../attempted/branches.ts'

// How often it is tried: the suspension may not have been written yet.
const mostTries = 20
const pause = 100
/** How long code that was suspended is watched, in milliseconds; then its signal aborts. */
const watched = 60_000
const shortest = 1_000

/**
 * Watches the code of an attempt that was suspended. When it shows up after all, it was waiting for something that
 * nobody could see: its job goes on at once, and its next attempt is given twice the time that this one has taken.
 */
export function watchForLife(
  attempt: Attempt,
  branches: Branches,
  output: PromiseLike<unknown>,
): void {
  let watching = true
  const onLife = (): void => {
    if (!watching) return
    watching = false
    void wake(attempt)
  }
  branches.onLively = onLife
  output.then(onLife, onLife)
  setTimeout(() => {
    watching = false
    attempt.abort()
  }, watched).unref()
}

async function wake(attempt: Attempt): Promise<void> {
  const { database, outbox, logger } = attempt.environment
  const { definition, job, startedAt, fence } = attempt
  const patience = Math.min(
    Math.max(shortest, 2 * (performance.now() - startedAt)),
    Math.max(shortest, definition.timeout / 2),
  )
  logger.debug(
    { job: job.id, name: definition.name, patience },
    `${definition.name} was suspended while its code was waiting for something of its own`,
  )
  for (let tries = 0; tries < mostTries; tries++) {
    try {
      const { rowCount } = await run(database, wakeLively(outbox.schema), [...fence, patience])
      if (rowCount !== 0) return
    } catch (error) {
      // The server is away, say; its other waits may be long.
      logger.debug({ err: error, job: job.id }, 'a job that was suspended too early was not woken')
    }
    await sleep(pause, undefined, { ref: false })
  }
}
