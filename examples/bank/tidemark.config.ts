import { defineApp, type AppOptions } from 'tidemark'
import { modules } from './src/modules.ts'

/** Where the database is: the command line reads it from here. */
export const options: AppOptions = {
  modules,
  connectionString: process.env['DATABASE_URL'] ?? 'postgres://localhost/bank',
}

/** What workers and the command line load. Nothing connects before it is used. */
export default defineApp(options)
