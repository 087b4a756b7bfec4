/** A process that runs the jobs of `keyed-effects.ts`, for tests that kill or freeze it. Arguments: URL, name, lease. */
import { defineApp } from 'tidemark'
import { keyedEffects } from '../keyed-effects.ts'
import { LogBook } from '../log-book.ts'

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

const [url = '', name = '', lease = ''] = process.argv.slice(2)
const { alone, batched } = keyedEffects(name)
const app = defineApp({ connectionString: url, modules: [alone, batched], logger: new LogBook() })
await app.start({ leaseDuration: Number(lease) })
process.send?.('started')
