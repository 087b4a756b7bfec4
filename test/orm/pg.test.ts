import { conforms } from './conformance.ts'

await conforms('pg')
