import { conforms } from './conformance.ts'

await conforms('subjects/typeorm', () => import('./subjects/typeorm.ts'))
