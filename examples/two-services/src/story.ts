import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { bank } from './bank/app.ts'
import { checkBooks, handled, type Check } from './check-books.ts'
import { ledger } from './ledger/app.ts'
import { NatsServer } from './nats-server.ts'
import { ServiceProcess } from './service-process.ts'

/** What a story is made of. */
export interface StoryOptions {
  /** How many transfers are sent. */
  readonly transfers: number
  /** How many times each service is killed; the broker half as often. */
  readonly kills: number
  /** Is told what happens. */
  readonly say: (what: string) => void
}

/** What became of it. */
export interface StoryOutcome {
  readonly killed: Readonly<Record<'bank' | 'ledger' | 'broker', number>>
  readonly checks: readonly Check[]
}

/** Money moves between two services, each with a Postgres of its own, while both and the broker are killed. */
export async function playStory({ transfers, kills, say }: StoryOptions): Promise<StoryOutcome> {
  say('starting two Postgres servers and nats-server')
  await using nats = await NatsServer.start()
  await using bankServer = await startPostgres({ source: 'embedded' })
  await using ledgerServer = await startPostgres({ source: 'embedded' })
  await using bankDatabase = await createTestDatabase({ server: bankServer })
  await using ledgerDatabase = await createTestDatabase({ server: ledgerServer })
  await bankDatabase.query(tables('bank'))
  await ledgerDatabase.query(tables('ledger'))

  const ofBank = { database: bankDatabase.url, nats: nats.url }
  const ofLedger = { database: ledgerDatabase.url, nats: nats.url }
  await using bankProcess = new ServiceProcess('bank', ofBank, String(transfers))
  await using ledgerProcess = new ServiceProcess('ledger', ofLedger)
  await Promise.all([bankProcess.start(), ledgerProcess.start()])
  // Not started: they only look.
  await using bankApp = bank(ofBank)
  await using ledgerApp = ledger(ofLedger)
  const services = { bank: bankApp, ledger: ledgerApp }

  say(`${transfers} transfers, while both services are killed`)
  const killed = { bank: 0, ledger: 0, broker: 0 }
  for (const victim of victims(kills)) {
    await delay(200 + Math.random() * 800)
    say(`killing the ${victim}`)
    killed[victim] += 1
    if (victim === 'broker') await nats.restart()
    else {
      const service = victim === 'bank' ? bankProcess : ledgerProcess
      await service.kill()
      await service.start()
    }
  }
  say('waiting until everything that was sent is handled')
  const deadline = Date.now() + 300_000
  while (Date.now() < deadline && !(await handled(services, transfers))) await delay(100)
  return { killed, checks: await checkBooks(services, transfers) }
}

/** Who is killed, in an order that nobody knows before. */
function victims(kills: number): readonly ('bank' | 'ledger' | 'broker')[] {
  const times = Array.from({ length: kills }, () => ['bank', 'ledger'] as const).flat()
  const all = [...times, ...Array<'broker'>(Math.ceil(kills / 2)).fill('broker')]
  return all
    .map((victim) => ({ victim, place: Math.random() }))
    .toSorted((one, other) => one.place - other.place)
    .map(({ victim }) => victim)
}

function tables(service: string): string {
  return readFileSync(new URL(`${service}/tables.sql`, import.meta.url), 'utf8')
}
