import { conforms } from './conformance.ts'

await conforms('subjects/sequelize', () => import('./subjects/sequelize.ts'))
