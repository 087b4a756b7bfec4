import {
  checkLeaks,
  createTestDatabase,
  leakBaseline,
  type DatabaseTemplate,
  type LeakBaseline,
  type TestDatabase,
} from '@tidemark/testing'
import pg from 'pg'
import { afterEach, beforeEach } from 'vitest'

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
  let current: { database: TestDatabase; baseline: LeakBaseline } | undefined

  beforeEach(async () => {
    const database = await createTestDatabase({ template: effectsTemplate })
    current = { database, baseline: await leakBaseline(database) }
  })

  afterEach(async ({ task }) => {
    if (current === undefined) return
    const { database, baseline } = current
    current = undefined
    try {
      // What a failed test leaves behind would only hide why it failed.
      if (task.result?.state !== 'fail') await checkLeaks(database, { baseline })
    } finally {
      await database[Symbol.asyncDispose]()
    }
  })

  return new Proxy({} as TestDatabase, {
    get(_, name) {
      if (current === undefined) throw new Error('the database is there inside of tests only')
      const { database } = current
      const value: unknown = Reflect.get(database, name)
      return typeof value === 'function' ? value.bind(database) : value
    },
  })
}
