import { defineApp } from 'tidemark'
import * as accounts from './accounts/index.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export function createApp(connectionString = process.env['DATABASE_URL']) {
  return defineApp({
    modules: [accounts],
    ...(connectionString ? { connectionString } : {}),
  })
}
