import { defineApp, defineListener, defineProjection, silentLogger } from 'tidemark'
import { flightArrived } from './events.ts'

/** What a worker of the soak tells, once a second. */
export interface SoakSample {
  /** Its memory, in bytes. */
  readonly rss: number
}

const ledger = defineListener('soak.ledger').on(flightArrived, async (event, { tx }) => {
  await tx.query('INSERT INTO effects (sequence) VALUES ($1)', [event.sequence])
})

const count = defineProjection('soak.count', { version: 1, initial: () => 0 }).on(
  flightArrived,
  (events) => events + 1,
)

async function work(url: string): Promise<void> {
  const modules = [ledger, count]
  await using app = defineApp({ connectionString: url, modules, logger: silentLogger })
  await using runner = await app.start({
    handleSignals: false,
    leaseDuration: 5_000,
    maintenanceInterval: 5_000,
  })
  const sample = (): void => {
    process.send?.({ rss: process.memoryUsage.rss() } satisfies SoakSample)
  }
  const timer = setInterval(sample, 1_000)
  sample()
  await new Promise<void>((resolve) => process.once('message', () => resolve()))
  clearInterval(timer)
  await runner.stop()
}

// Whoever started it is gone, and with it the server.
process.once('disconnect', () => process.exit())
process.once('message', (url) => {
  work(url as string).then(
    () => process.disconnect(),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exitCode = 1
      process.disconnect()
    },
  )
})
