import {
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineSchedule,
  type App,
  type Module,
} from 'tidemark'
import { z } from 'zod'

const accountOpened = defineEvent('accounts.opened', {
  payload: z.object({ accountId: z.string(), owner: z.string(), email: z.string() }),
})

export const deposited = defineEvent('deposits.received', {
  payload: z.object({ accountId: z.string(), cents: z.bigint(), reference: z.string() }),
})
const letterSent = defineEvent('letters.sent', { payload: z.object({ to: z.string() }) })

const sendLetter = defineJob('send_letter', {
  description: 'Writes a letter and hands it to the post.',
  input: z.object({
    to: z.string().describe('Whom it is for.'),
    template: z.enum(['welcome', 'statement', 'reminder']),
    copies: z.int().default(1),
    urgent: z.boolean().optional(),
  }),
  output: z.object({ messageId: z.string() }),
  run: async (job, ctx) => {
    ctx.log.info({ template: job.input.template }, 'writing the letter')
    const text = await ctx.step('render', () => `Dear ${job.input.to}, …`)
    const messageId = await ctx.step('hand to the post', () => `msg-${text.length}`)
    await ctx.transaction(async (tx) => tx.publish(letterSent({ to: job.input.to })))
    ctx.log.info({ messageId }, 'the post has it')
    return { messageId }
  },
})

/** It fails until the clearing house answers, which it never does. */
const settle = defineJob('settle_payments', {
  description: 'Settles the payments of a day with the clearing house.',
  queue: 'clearing',
  input: z.object({ day: z.string() }),
  retry: { attempts: 2, backoff: () => 50 },
  run: (_job, ctx) => {
    ctx.log.warn({ host: 'clearing.example' }, 'the clearing house does not answer')
    throw new Error('connect ETIMEDOUT clearing.example:443')
  },
})

/** It waits for somebody, with some of it done. */
const approve = defineJob('approve_credit', {
  description: 'Waits until a clerk has decided.',
  queue: 'clerks',
  input: z.object({ proposal: z.string() }),
  run: async (job, ctx) => {
    const score = await ctx.step('score', () => job.input.proposal.length * 7)
    ctx.progress(0.4)
    ctx.log.info({ score }, 'a clerk must decide')
    await ctx.waitForSignal('decision', 'decision', { timeout: '2d' })
  },
})

const statements = defineSchedule('nightly_statements', {
  cron: '0 3 * * *',
  timeZone: 'Europe/Berlin',
  job: sendLetter,
  input: () => ({ to: 'everybody', template: 'statement' as const }),
})

/** Greets whoever opens an account. */
const welcome = defineListener('notifications.welcome').on(accountOpened, async (event, ctx) => {
  await ctx.spawn(sendLetter, { to: event.payload.owner, template: 'welcome' })
})

/** Sets aside what it cannot book. */
const booking = defineListener('ledger.booking', {
  onFailure: 'park',
  retry: { attempts: 1 },
}).on(deposited, (event) => {
  if (event.payload.reference.startsWith('?')) throw new Error('no invoice has this reference')
})

/** Halts at what the authority would not take. */
const reporting = defineListener('authority.reporting', {
  onFailure: 'halt',
  retry: { attempts: 1 },
}).on(deposited, (event) => {
  if (event.payload.cents > 1_000_000n) throw new Error('the authority refused the report: amount')
})

const byAccount = {
  key: (event: { readonly payload: { readonly accountId: string } }) => event.payload.accountId,
}

const balances = defineProjection('balances', {
  version: 1,
  keyed: true,
  initial: () => ({ owner: '', cents: 0n }),
})
  .on(accountOpened, (state, event) => ({ ...state, owner: event.payload.owner }), byAccount)
  .on(
    deposited,
    (state, event) => ({ ...state, cents: state.cents + event.payload.cents }),
    byAccount,
  )

const dashboard = defineProjection('dashboard', {
  version: 1,
  initial: () => ({ accounts: 0, deposits: 0, cents: 0n }),
})
  .on(accountOpened, (state) => ({ ...state, accounts: state.accounts + 1 }))
  .on(deposited, (state, event) => ({
    ...state,
    deposits: state.deposits + 1,
    cents: state.cents + event.payload.cents,
  }))

/** A small bank with something of everything, some of it broken. */
export const world: Module = {
  accountOpened,
  deposited,
  letterSent,
  sendLetter,
  settle,
  approve,
  statements,
  welcome,
  booking,
  reporting,
  balances,
  dashboard,
}

const owners = [
  'Ada Archer',
  'Ben Baker',
  'شركة الشحن',
  '田中 花子',
  '<img src=x onerror=alert(1)>',
  'Olga Ильина',
]

/** Plays some days of it: everything of it has happened, or has failed for good, when it answers. */
export async function play(app: App): Promise<void> {
  for (const [index, owner] of owners.entries()) {
    const accountId = `acc-${index + 1}`
    const email = `owner${index + 1}@example.com`
    await app.publish(accountOpened({ accountId, owner, email }), {
      stream: `account-${accountId}`,
    })
    for (const part of [1, 2, 3]) {
      const reference = index % 3 === 0 && part === 3 ? `?${index}` : `INV-${index}${part}`
      await app.publish(deposited({ accountId, cents: BigInt(part * 125_00), reference }), {
        stream: `account-${accountId}`,
        correlationId: `payment-file-${part}`,
      })
    }
  }
  await app.publish(deposited({ accountId: 'acc-1', cents: 5_000_000n, reference: 'INV-big' }), {
    stream: 'account-acc-1',
  })
  for (const day of ['2026-11-23', '2026-11-24', '2026-11-25'])
    await app.jobs.spawn(settle, { day })
  await app.jobs.spawn(approve, { proposal: 'P-1093' }, { concurrencyKey: 'branch-7' })
  await app.jobs.spawn(sendLetter, { to: 'Ada Archer', template: 'reminder' }, { delay: '2h' })
}

/** Whether all of {@link play} has come to its end. */
export async function isPlayed(app: App): Promise<boolean> {
  const counts = await app.jobs.counts()
  const jobs = (name: string, status: string): number =>
    counts.find((one) => one.name === name && one.status === status)?.jobs ?? 0
  const listeners = await app.listeners.list()
  const { lastSequence } = await app.outbox.stats()
  const there = listeners.every(
    ({ status, cursor }) => status === 'halted' || cursor === lastSequence,
  )
  const logged = await app.jobs.list({ name: 'approve_credit' })
  return (
    there &&
    listeners.some(({ status }) => status === 'halted') &&
    jobs('send_letter', 'completed') === owners.length &&
    jobs('settle_payments', 'failed') === 3 &&
    logged[0]?.waiting !== null
  )
}
