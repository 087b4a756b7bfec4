import { conforms } from './conformance.ts'

await conforms('postgres-js')
