import { createTestDatabase } from '@tidemark/testing'
import { migrateUp, type App } from 'tidemark'
import { checkBooks } from './books.ts'
import { dashboard } from './dashboard/index.ts'
import { statements } from './deposits/index.ts'
import { euros } from './euros.ts'
import { makeTables } from './migrate.ts'
import { playScenario } from './scenario.ts'
import { settled } from './settled.ts'
import { startTelemetry } from './telemetry.ts'

const customers = Number(process.argv[2] ?? 300)
if (!Number.isSafeInteger(customers) || customers < 30) {
  console.error(
    'usage: npm start --workspace @tidemark-examples/bank [-- <customers, at least 30>]',
  )
  process.exit(2)
}

await using resources = new AsyncDisposableStack()
resources.use(startTelemetry())

console.log('Starting Postgres …')
await using database = await createTestDatabase({ migrate: false })
await migrateUp({ connectionString: database.url })

// The same file that a worker loads: it takes the address from the environment.
process.env['DATABASE_URL'] = database.url
await using tidemark = (await import('../tidemark.config.ts')).default
await makeTables(tidemark)
await using runner = await tidemark.start()

console.log('\nThe story')
const outcome = await playScenario(tidemark, customers, (what) => console.log(`  · ${what}`))
console.log(`    ${outcome.paymentsBooked} payments booked, ${outcome.paymentsKnown} known already`)
console.log(`    ${outcome.decisions} decisions, ${outcome.lateDecisions} officers came too late`)
console.log(`    ${outcome.withdrawals} withdrawals, ${outcome.refusals} refused`)

await showDashboard(tidemark)
await showLetters(tidemark)
const balanced = await showBooks(tidemark, 'The books')

// Projections are derived: empty them, and the same events make the same figures again.
await tidemark.reset(dashboard)
await tidemark.reset(statements)
await settled(tidemark)
const again = await showBooks(tidemark, 'The books, with dashboard and statements derived anew')

const { length } = runner.partitions
const ok = balanced && again
console.log(
  ok ? `\n✓ The books balance; ${length} listeners ran in this process.` : '\n✗ The books differ.',
)
if (!ok) process.exitCode = 1

async function showDashboard(app: App): Promise<void> {
  const { active, pending, declined, disbursed } = await app.read(dashboard)
  console.log(`
The dashboard
  active loans   ${active}
  pending        ${pending}
  declined       ${declined}
  disbursed      ${euros(disbursed)}`)
}

async function showLetters({ db }: App): Promise<void> {
  console.log('\nSome letters')
  for (const subject of ['Welcome', 'Your loan', 'Your proposal']) {
    const letter = await db
      .selectFrom('letters')
      .selectAll()
      .where('subject', '=', subject)
      .orderBy('customer_id')
      .executeTakeFirstOrThrow()
    console.log(`  to ${letter.email}\n    ${letter.subject}: ${letter.body}`)
  }
}

async function showBooks(app: App, title: string): Promise<boolean> {
  console.log(`\n${title}`)
  const checks = await checkBooks(app)
  for (const { what, unit, expected, actual } of checks) {
    const shown = (figure: bigint): string => (unit === 'cents' ? euros(figure) : String(figure))
    const mark = actual === expected ? '✓' : '✗'
    const difference = actual === expected ? '' : `, but the outbox says ${shown(expected)}`
    console.log(`  ${mark} ${what}: ${shown(actual)}${difference}`)
  }
  return checks.every(({ expected, actual }) => actual === expected)
}
