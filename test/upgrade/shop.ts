import {
  defineApp,
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineSchedule,
  type App,
} from 'tidemark'
import { z } from 'zod'
import { LogBook } from '../support/log-book.ts'

/** The tables that the shop made for itself. */
export const ownTables = `
CREATE TABLE letters (sequence bigint NOT NULL, about text NOT NULL);
CREATE TABLE ledger (sequence bigint NOT NULL);
CREATE TABLE orders (id text PRIMARY KEY, cents bigint NOT NULL);
`

/** What a shop of a release is given. */
export interface ShopOptions {
  /** The release that the database comes from, or the present one. They differ as releases of an application do. */
  readonly release: 'old' | 'new'
  /** What the import does between its first page and the rest. */
  readonly inTheMiddle?: () => Promise<void>
  /** Called when a step of a job is run. */
  readonly onStep?: (step: string) => void
}

const paid = defineEvent('shop.paid', { payload: z.object({ order: z.string() }) })

const placedBefore = defineEvent('shop.placed', {
  payload: z.object({ order: z.string(), cents: z.bigint(), at: z.date() }),
})

const placedNow = defineEvent('shop.placed', {
  version: 2,
  payload: z.object({
    order: z.string(),
    cents: z.bigint(),
    at: z.date(),
    currency: z.string(),
  }),
  upcast: {
    1: (payload: { order: string; cents: bigint; at: Date }) => ({ ...payload, currency: 'EUR' }),
  },
})

/** An application with something of everything that is stored, in two releases. */
export function shop(options: ShopOptions) {
  const isOld = options.release === 'old'
  const step = options.onStep ?? (() => undefined)
  const placed = isOld ? (placedBefore as unknown as typeof placedNow) : placedNow
  /** What the old release could not do. */
  const stumble = (order: string): void => {
    if (isOld && order === 'bad') throw new Error('this order is too much for the old release')
  }

  const order = defineEntity('order', {
    initial: () => ({ cents: 0n, paid: false }),
    snapshotEvery: 2,
  })
    .on(placed, (state, event) => ({ ...state, cents: state.cents + event.payload.cents }))
    .on(paid, (state) => ({ ...state, paid: true }))

  const letters = defineListener('letters', { onFailure: 'park', retry: { attempts: 1 } }).on(
    placed,
    async (event, { tx }) => {
      stumble(event.payload.order)
      const { order: about } = event.payload
      await tx.query('INSERT INTO letters VALUES ($1, $2)', [event.sequence, about])
    },
  )
  const ledger = defineListener('ledger', { onFailure: 'halt', retry: { attempts: 1 } }).on(
    placed,
    async (event, { tx }) => {
      stumble(event.payload.order)
      await tx.query('INSERT INTO ledger VALUES ($1)', [event.sequence])
    },
  )

  // The new release counts something else: a rebuild from events of the old one.
  const turnover = defineProjection('turnover', {
    version: isOld ? 1 : 2,
    initial: () => ({ total: 0n, currencies: new Set<string>() }),
  }).on(placed, ({ total, currencies }, event) => ({
    total: total + event.payload.cents,
    currencies: isOld ? currencies : new Set([...currencies, event.payload.currency]),
  }))
  const byOrder = defineProjection('by-order', {
    version: 1,
    keyed: true,
    initial: (): { cents: bigint; last: Date | null } => ({ cents: 0n, last: null }),
  }).on(
    placed,
    (state, { payload }) => ({ cents: state.cents + payload.cents, last: payload.at }),
    { key: (event) => event.payload.order },
  )
  const orders = defineProjection('orders', { version: 1, tables: ['orders'] }).on(
    placed,
    async ({ payload }, { tx }) => {
      await tx.query(
        `INSERT INTO orders AS o VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET cents = o.cents + excluded.cents`,
        [payload.order, payload.cents],
      )
    },
  )
  const count = defineProjection('count', { version: 1, mode: 'inline', initial: () => 0 }).on(
    placed,
    (n) => n + 1,
  )

  const invoice = defineJob('invoice', {
    input: z.object({ order: z.string() }),
    run: async ({ input }, context) => {
      const number = await context.step('number', () => {
        step('number')
        return { number: 7n, at: new Date('2026-01-01T00:00:00Z') }
      })
      const payment = await context.waitForEvent('paid', paid, { key: input.order })
      return { ...number, paid: payment?.payload.order }
    },
  })
  const report = defineJob('report', {
    input: z.null(),
    run: () => ({ text: 'x'.repeat(500), at: new Date('2026-01-01T00:00:00Z') }),
  })
  const importing = defineJob('import', {
    input: z.object({ pages: z.number() }),
    state: z.object({ page: z.number() }).default({ page: 0 }),
    concurrencyKey: () => 'supplier',
    timeout: '1h',
    run: async ({ input }, context) => {
      let { page } = context.state
      while (page < input.pages) {
        page += 1
        step(`page ${page}`)
        await context.checkpoint({ page })
        await context.variables.set(`page ${page}`, new Map([[page, BigInt(page)]]))
        context.log.info({ page }, 'a page is in')
        if (page === 1) await options.inTheMiddle?.()
      }
      return [...context.variables.entries()].map(([name]) => name)
    },
  })
  const broken = defineJob('broken', {
    input: z.null(),
    retry: { attempts: 1 },
    lifecycle: ['failed', 'completed'],
    run: () => {
      stumble('bad')
      return 'mended'
    },
  })
  const later = defineJob('later', {
    input: z.object({ what: z.string() }),
    uniqueKey: ({ what }) => what,
    run: ({ input }) => input.what,
  })
  const yearly = defineSchedule('yearly', {
    cron: '0 3 1 1 *',
    job: report,
    input: null,
    catchUp: 'none',
  })

  const definitions = {
    placed,
    paid,
    letters,
    ledger,
    turnover,
    byOrder,
    orders,
    count,
    invoice,
    report,
    importing,
    broken,
    later,
    yearly,
  }
  const appOn = (connectionString: string): App =>
    defineApp({
      connectionString,
      logger: new LogBook(),
      modules: [definitions],
      outputs: { limit: 100 },
    })
  return { ...definitions, order, appOn }
}

/** How the shop's worker is started: it is taken for dead soon after it has died. */
export const workerOptions = { handleSignals: false, leaseDuration: 2000 } as const
