import { conforms } from './conformance.ts'

await conforms('subjects/drizzle-postgres-js', () => import('./subjects/drizzle-postgres-js.ts'))
