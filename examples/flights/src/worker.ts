/**
 * A worker process: it runs whatever listeners it can get, until the process that started it is gone or lets go
 * of it.
 */
import { once } from 'node:events'
import { leaseDuration, openApp } from './app.ts'

/** What a worker tells the process that started it. */
export interface WorkerReady {
  /** Its identity as an owner of leases. */
  readonly runner: string
}

const [url] = process.argv.slice(2)
if (url === undefined || process.send === undefined) {
  throw new Error('worker.ts is started by main.ts, with the URL of the database')
}

const released = once(process, 'disconnect')
await using app = openApp(url)
await using runner = await app.start({ leaseDuration })
if (process.connected) process.send({ runner: runner.id } satisfies WorkerReady)
await released
