/** A worker of the bank that kills itself with -9 at the moment that this job logs this message. */
import { defineApp, silentLogger, type Logger } from 'tidemark'
import { modules } from '../../src/modules.ts'

const [connectionString = '', job = '', fatal = ''] = process.argv.slice(2)
const logger: Logger = {
  ...silentLogger,
  info: (fields, message) => {
    if ((fields as { job?: string }).job === job && message === fatal)
      process.kill(process.pid, 'SIGKILL')
  },
}
await defineApp({ modules, connectionString, logger }).start({ leaseDuration: 1_000 })
