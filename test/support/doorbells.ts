import type { TestDatabase } from '@tidemark/testing'
import { expect } from 'vitest'

/** The processes whose doorbell is armed. */
export async function armedProcesses(database: TestDatabase): Promise<string[]> {
  const { rows } = await database.query<{ process: string }>(
    `select process from ${database.schema}.doorbells where armed order by process`,
  )
  return rows.map(({ process }) => process)
}

/** Resolves when so many processes have gone to sleep. */
export async function asleep(database: TestDatabase, processes = 1): Promise<void> {
  await expect
    .poll(async () => (await armedProcesses(database)).length, { timeout: 15_000, interval: 10 })
    .toBe(processes)
}
