import { conforms } from './conformance.ts'

await conforms('subjects/kysely', () => import('./subjects/kysely.ts'))
