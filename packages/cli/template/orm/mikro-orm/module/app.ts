import { MikroORM } from '@mikro-orm/postgresql'
import { defineApp } from 'tidemark'
import { bindMikroOrm } from 'tidemark/mikro-orm'
import * as accounts from './accounts/index.ts'
import { Account, Letter } from './accounts/tables.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export async function createApp(connectionString = process.env['DATABASE_URL']) {
  const orm = await MikroORM.init({
    clientUrl: connectionString ?? 'postgres://localhost',
    entities: [Account, Letter],
    // Statements go through Tidemark's connections.
    ensureDatabase: false,
  })
  return defineApp({
    modules: [accounts],
    db: bindMikroOrm(orm),
    ...(connectionString ? { connectionString } : {}),
  })
}
