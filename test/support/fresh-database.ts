import type { DatabaseTemplate, TestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'

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

/**
 * Gives each test of the file a database of its own, and fails the test that leaves something behind in it or in
 * this process. Sequences, doorbells and cursors are the subject here: no test may see those of another.
 */
export function useFreshDatabase(): TestDatabase {
  return useTestDatabase({ scope: 'test', template: effectsTemplate })
}
