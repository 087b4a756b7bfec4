import { defineApp } from 'tidemark'
import * as accounts from './accounts/index.ts'

// The command line and workers run it; where the database is, DATABASE_URL tells them.
export default defineApp({
  modules: [accounts],
  ...(process.env['DATABASE_URL'] ? { connectionString: process.env['DATABASE_URL'] } : {}),
})
