import { conforms } from './conformance.ts'

const folder = new URL('prisma/', import.meta.url)
await conforms('prisma/subject', () => import('./prisma/subject.ts'), folder)
