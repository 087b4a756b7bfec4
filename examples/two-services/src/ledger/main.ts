/** The ledger's process: it books what the bank sends, and answers what it refuses. */
import { addressesOfEnvironment, runService } from '../service.ts'
import { ledger } from './app.ts'

await runService(ledger(addressesOfEnvironment()))
