import {
  checkLeaks,
  createTestDatabase,
  leakBaseline,
  type DatabaseTemplate,
  type TestDatabase,
} from '@tidemark/testing'
import pg from 'pg'
import { test as base } from 'vitest'

/** What the guarantee tests write to: a row for each effect, with nothing that would hide a second one. */
export const effectsTemplate: DatabaseTemplate = {
  key: 'effects 1',
  prepare: async (connectionString) => {
    const client = new pg.Client({ connectionString })
    await client.connect()
    await client.query(`
      create table effects (
        id       bigint generated always as identity primary key,
        listener text not null,
        sequence bigint not null,
        process  text
      )`)
    await client.end()
  },
}

/** A test with a database of its own, which fails when it leaves something behind in it or in this process. */
export const test = base.extend<{ database: TestDatabase }>({
  database: async ({ task }, use) => {
    await using database = await createTestDatabase({ template: effectsTemplate })
    const baseline = await leakBaseline(database)
    await use(database)
    // What a failed test leaves behind would only hide why it failed.
    const failed = task.result?.state === 'fail' || (task.result?.errors?.length ?? 0) > 0
    if (!failed) await checkLeaks(database, { baseline })
  },
})
