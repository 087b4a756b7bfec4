import { conforms } from './conformance.ts'

await conforms('mikro-orm')
