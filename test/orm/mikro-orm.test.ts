import { conforms } from './conformance.ts'

await conforms('subjects/mikro-orm', () => import('./subjects/mikro-orm.ts'))
