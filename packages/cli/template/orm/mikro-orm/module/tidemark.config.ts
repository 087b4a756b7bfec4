import { createApp } from './app.ts'

// What the command line and workers run. Where the database is, DATABASE_URL tells them.
export default await createApp()
