import { conforms } from './conformance.ts'

await conforms('typeorm')
