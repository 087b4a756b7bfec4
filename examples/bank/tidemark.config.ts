import { defineApp } from 'tidemark'
import { modules } from './src/modules.ts'

/** What workers and the command line load. Nothing connects before it is used. */
export default defineApp({
  modules,
  connectionString: process.env['DATABASE_URL'] ?? 'postgres://localhost/bank',
})
