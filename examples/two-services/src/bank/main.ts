/** The bank's process: it sends transfers, up to the number that it is given, and takes back what is refused. */
import { addressesOfEnvironment, runService } from '../service.ts'
import { bank } from './app.ts'
import { sendNextTransfer } from './send-transfer.ts'

const limit = Number(process.argv[2])
const app = bank(addressesOfEnvironment())
await runService(app)
await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (await sendNextTransfer(app, limit));
  }),
)
