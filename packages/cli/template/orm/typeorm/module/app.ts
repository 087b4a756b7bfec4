import { defineApp } from 'tidemark'
import { bindTypeorm } from 'tidemark/typeorm'
import { DataSource } from 'typeorm'
import * as accounts from './accounts/index.ts'
import { Account, Letter } from './accounts/tables.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export async function createApp(connectionString = process.env['DATABASE_URL']) {
  const dataSource = new DataSource({
    type: 'postgres',
    ...(connectionString ? { url: connectionString } : {}),
    entities: [Account, Letter],
    // It connects once, to learn what the server can do. Statements go through Tidemark's connections, so it keeps none.
    extra: { max: 1, idleTimeoutMillis: 1 },
  })
  await dataSource.initialize()
  return defineApp({
    modules: [accounts],
    db: bindTypeorm(dataSource),
    ...(connectionString ? { connectionString } : {}),
  })
}
