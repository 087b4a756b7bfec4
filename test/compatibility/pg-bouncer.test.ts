import { expect, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { PgBouncer, pgBouncerMissing } from './pg-bouncer.ts'
import { tellStory } from './story.ts'

const missing = pgBouncerMissing()
if (missing !== null) console.log(`PgBouncer is not tested: ${missing}`)

const database = useFreshDatabase()

test.skipIf(missing !== null)(
  'the story holds through PgBouncer in transaction mode, for everything but LISTEN',
  async () => {
    await using bouncer = await PgBouncer.start(database.url)
    await tellStory(database, {
      connectionString: bouncer.url,
      listenConnectionString: database.url,
      preparedStatements: false,
    })
    // All of it went through the pooler, but for the ear.
    const { rows } = await database.query<{ application: string }>(
      `select distinct application_name as application from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()
         and application_name like 'tidemark doorbell%'`,
    )
    expect(rows).toEqual([])
  },
)
