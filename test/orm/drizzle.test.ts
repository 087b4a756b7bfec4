import { conforms } from './conformance.ts'

await conforms('subjects/drizzle', () => import('./subjects/drizzle.ts'))
