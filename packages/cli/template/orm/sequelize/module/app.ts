import { Transaction } from 'sequelize'
import { defineApp } from 'tidemark'
import { bindSequelize } from 'tidemark/sequelize'
import * as accounts from './accounts/index.ts'
import { sequelize } from './accounts/tables.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export function createApp(connectionString = process.env['DATABASE_URL']) {
  return defineApp({
    modules: [accounts],
    db: bindSequelize(sequelize, Transaction),
    ...(connectionString ? { connectionString } : {}),
  })
}
