import { conforms } from './conformance.ts'

await conforms('subjects/postgres-js', () => import('./subjects/postgres-js.ts'))
