export { deliverLetter } from './deliver-letter.ts'
export { letters } from './letters.ts'
