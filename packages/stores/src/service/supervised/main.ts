// The program of a supervised service: settings come in the environment, and the channel to the parent says when to end.
import { stderrLogger, type Logger } from 'tidemark'
import { runService } from '../configured/run-service.ts'

const stopped = new AbortController()
const stop = (): void => stopped.abort()
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
process.once('disconnect', stop)
// Nobody reads the log of one whose parent was killed: that must not keep it from ending as it should.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const logger: Logger = {
  ...stderrLogger,
  info: (fields, message) => stdoutLine('info', fields, message),
}

function stdoutLine(level: string, fields: object, message: string): void {
  process.stdout.write(
    `${JSON.stringify({ level, time: new Date().toISOString(), msg: message, ...fields })}\n`,
  )
}

try {
  await runService({
    env: process.env,
    logger,
    signal: stopped.signal,
    ready: () => process.send?.('ready'),
  })
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
if (process.connected) process.disconnect()
