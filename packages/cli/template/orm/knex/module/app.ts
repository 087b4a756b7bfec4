import knex from 'knex'
import { defineApp } from 'tidemark'
import { bindKnex } from 'tidemark/knex'
import * as accounts from './accounts/index.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export function createApp(connectionString = process.env['DATABASE_URL']) {
  return defineApp({
    modules: [accounts],
    // It opens no connection: its statements go through Tidemark's.
    db: bindKnex(knex({ client: 'pg' })),
    ...(connectionString ? { connectionString } : {}),
  })
}
