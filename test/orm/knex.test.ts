import { conforms } from './conformance.ts'

await conforms('subjects/knex', () => import('./subjects/knex.ts'))
