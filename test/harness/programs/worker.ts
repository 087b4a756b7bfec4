import type { Logger } from 'tidemark'
/** A worker of the ledger: runs listeners, projections, jobs and schedules of one release until it is told to stop. */
import { ledgerApp, secondApp } from '../ledger/application.ts'

/** What a worker is told. */
export interface WorkerOrders {
  readonly url: string
  readonly release: number
  readonly leaseDuration: number
  readonly doorbell: boolean
  /** Milliseconds; undefined: as it is by default. */
  readonly safetyPoll?: number | undefined
}

/** What it tells: that it has started, or a line of its log. */
export type WorkerNews =
  | { readonly kind: 'started' }
  | { readonly kind: 'logged'; readonly level: string; readonly message: string }

const orders = JSON.parse(process.argv[2] ?? '{}') as WorkerOrders
const tell = (news: WorkerNews): void => {
  // Who is gone learns nothing more.
  if (process.connected) process.send?.(news, undefined, undefined, () => {})
}
// Whoever started it is gone, and with it the server.
process.once('disconnect', () => process.exit())

const write =
  (level: string) =>
  (fields: object, message: string): void => {
    const { err } = fields as { err?: Error }
    tell({ kind: 'logged', level, message: `${message}${err ? `: ${err.message}` : ''}` })
  }
const logger: Logger = { debug() {}, info() {}, warn: write('warn'), error: write('error') }

const connections = { url: orders.url, maxConnections: 6, logger }
const apps = [ledgerApp(orders.release, connections), secondApp(connections)]
const options = {
  handleSignals: false,
  leaseDuration: orders.leaseDuration,
  acquireInterval: 100,
  maintenanceInterval: 1_000,
  maxConnections: 6,
  doorbell: {
    enabled: orders.doorbell,
    ...(orders.safetyPoll !== undefined && { safetyPoll: orders.safetyPoll }),
  },
}
const stop = async (): Promise<void> => {
  await Promise.all(apps.map((app) => app.close()))
  process.disconnect()
}
process.once('SIGTERM', () => void stop())
// A server that is away when a worker starts is tried again, as a supervisor does it.
for (const [index, app] of apps.entries()) {
  for (let started = false; !started;) {
    try {
      await app.start({ ...options, ...(index === 1 && { jobs: false, partitionSize: 500 }) })
      started = true
    } catch (error) {
      write('warn')({ err: error as Error }, 'it could not start')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
tell({ kind: 'started' })
