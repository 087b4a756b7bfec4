import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { armedProcesses, asleep } from '../support/doorbells.ts'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { effectsTemplate } from '../support/fresh-database.ts'
import { needsSmallQueue, startWithSmallQueue } from '../support/small-queue.ts'
import { appOn } from '../support/test-app.ts'

test('a process that a full queue of notifications has made deaf looks all the same, and hears when there is room', async ({
  skip,
}) => {
  await using server = await startWithSmallQueue()
  if (server === undefined) return skip(needsSmallQueue)
  await using database = await createTestDatabase({ server, template: effectsTemplate })
  await using app = appOn(database, [recorder('ledger')])
  // Nothing but the doorbell wakes it within the test.
  await app.start({ doorbell: { safetyPoll: 600_000, pingInterval: 200 } })
  await asleep(database)

  const [sitting, filling] = [await database.connect(), await database.connect()]
  await sitting.query('LISTEN nobody')
  await sitting.query('BEGIN')
  await sitting.query('SELECT 1')
  const fill = async (): Promise<never> => {
    for (let n = 0; ; n++) {
      await filling.query(
        `SELECT pg_notify('nobody', repeat('x', 7000) || i || '-' || ${n}) FROM generate_series(1, 10) AS i`,
      )
    }
  }
  await expect(fill()).rejects.toThrow(/NOTIFY queue/u)
  await expect.poll(() => armedProcesses(database), { timeout: 30_000 }).toEqual([])
  // By somebody else: a process hears of what it publishes itself. Several, since a ring from before may wake it once.
  for (let n = 1; n <= 3; n++) {
    await database.query(`SELECT tidemark.publish('${noted.type}', '{"note": "nobody is rung"}')`)
    await expect.poll(() => effectsOf(database, 'ledger'), { timeout: 30_000 }).toHaveLength(n)
  }

  await sitting.end()
  await filling.end()
  // Nobody publishes, and nobody asks how full it is.
  await asleep(database)
  await database.query(`SELECT tidemark.publish('${noted.type}', '{"note": "rung"}')`)
  await expect.poll(() => effectsOf(database, 'ledger'), { timeout: 30_000 }).toHaveLength(4)
})
