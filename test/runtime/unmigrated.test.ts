import { createTestDatabase } from '@tidemark/testing'
import { defineApp, defineJob, defineProjection, silentLogger, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'

const work = defineJob('work', { input: z.string(), run: async () => {} })
const count = defineProjection('count', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)

const uses: [string, (app: App) => Promise<unknown>][] = [
  ['publishing', (app) => app.publish(noted({ note: 'one' }))],
  ['publishing to a stream', (app) => app.publish(noted({ note: 'one' }), { stream: 's' })],
  [
    'publishing in a transaction',
    (app) => app.transaction(async (tx) => tx.publish(noted({ note: 'one' }))),
  ],
  ['spawning', (app) => app.jobs.spawn(work, 'x')],
  ['starting', (app) => app.start()],
  ['reading', (app) => app.read(count)],
  ['listing listeners', (app) => app.listeners.list()],
  ['reading the outbox', (app) => Array.fromAsync(app.events())],
]

test.each(uses)('%s before migrating says that a migration is required', async (_, use) => {
  await using database = await createTestDatabase({ migrate: false })
  for (const schema of ['tidemark', 'elsewhere']) {
    await using app = defineApp({
      modules: [noted, work, count],
      connectionString: database.url,
      schema,
      logger: silentLogger,
    })
    await expect(use(app)).rejects.toMatchObject({
      code: 'TIDEMARK_MIGRATION_REQUIRED',
      hint: expect.stringContaining('tidemark migrate up'),
    })
  }
})

test('what a trigger of the application lacks is not a missing migration', async () => {
  await using database = await createTestDatabase()
  await database.query(`
    create function audit() returns trigger language plpgsql as $$ begin insert into audits values (1); return new; end $$;
    create trigger audit after insert on tidemark.events for each row execute function audit()`)
  await using app = defineApp({
    modules: [noted],
    connectionString: database.url,
    logger: silentLogger,
  })
  await expect(app.publish(noted({ note: 'one' }))).rejects.toMatchObject({ code: '42P01' })
})
