import { conforms } from './conformance.ts'

await conforms('subjects/pg', () => import('./subjects/pg.ts'))
