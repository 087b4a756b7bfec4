import { defineApp, defineListener, defineProjection, silentLogger } from 'tidemark'
import { flightArrived } from './events.ts'
import { liveBytes } from './live-bytes.ts'

/** What a worker of the soak is asked: what it holds, or to stop. */
export type SoakQuestion = 'live' | 'stop'

/** What it tells of its memory, in bytes: RSS once a second, and what it holds when it is asked. */
export type SoakSample = { readonly rss: number } | { readonly live: number }

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
  const tell = (sample: SoakSample): void => void process.send?.(sample)
  const sample = (): void => tell({ rss: process.memoryUsage.rss() })
  const timer = setInterval(sample, 1_000)
  sample()
  await new Promise<void>((resolve) => {
    process.on('message', (question: SoakQuestion) => {
      if (question === 'live') tell({ live: liveBytes() })
      else resolve()
    })
  })
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
