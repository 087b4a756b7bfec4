import type { App } from 'tidemark'
import { BankError } from './bank-error.ts'
import { decideProposal, submitProposal } from './credit/index.ts'
import { importCustomers, registerCustomer } from './customers/index.ts'
import { accountOf, importPayments, withdraw } from './deposits/index.ts'
import { inParallel } from './in-parallel.ts'
import { settled } from './settled.ts'

const givenNames = ['Ada', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn', 'Gina', 'Hugo', 'Ida', 'Jan']
const familyNames = ['Archer', 'Baker', 'Cooper', 'Dyer', 'Fisher', 'Gardener', 'Mason']
const clerks = 8

/** What happened that the books must agree with. */
export interface Outcome {
  readonly customers: number
  readonly paymentsBooked: number
  readonly paymentsKnown: number
  readonly withdrawals: number
  readonly refusals: number
  readonly decisions: number
  readonly lateDecisions: number
}

/**
 * Some busy days of the bank: customers, salaries, proposals, decisions and withdrawals, several clerks at a time.
 *
 * @param customers - how many customers the bank gets.
 * @param say - is told what happens.
 */
export async function playScenario(
  tidemark: App,
  customers: number,
  say: (what: string) => void,
): Promise<Outcome> {
  const people = Array.from({ length: customers }, (_, index) => person(index))
  const old = people.slice(0, Math.floor(customers / 5))
  const young = people.slice(old.length)

  say(`${old.length} customers come from the old system, as version 1 events published in SQL`)
  await importCustomers(
    tidemark,
    old.map(({ id, name, email }) => ({ id, name: `${name.given} ${name.family}`, email })),
  )
  say(`${young.length} customers register`)
  await inParallel(clerks, young, ({ id, ...rest }) =>
    registerCustomer(tidemark, { customerId: id, ...rest }),
  )
  await settled(tidemark)

  say('the salaries arrive as a payment file, and then the same file once more')
  const file = people
    .map(({ id, income }, index) => `S-${index};${accountOf(id)};${income};Salary\n`)
    .join('')
  const first = await importPayments(tidemark, file)
  const second = await importPayments(tidemark, file)

  const proposals = people.filter((_, index) => index % 3 !== 0)
  say(`${proposals.length} customers ask for credit`)
  await inParallel(clerks, proposals, ({ id, income, wish }) =>
    submitProposal(tidemark, {
      facilityId: `F-${id}`,
      customerId: id,
      amount: wish,
      monthlyIncome: income,
    }),
  )
  await settled(tidemark)

  const waiting = await tidemark.db
    .selectFrom('facilities')
    .select('id')
    .where('status', '=', 'in_review')
    .orderBy('id')
    .execute()
  // The last few are left for another day: they stay pending.
  const decided = waiting.slice(0, -3)
  say(`${waiting.length} proposals need a person; two officers reach for each of ${decided.length}`)
  const lateDecisions = await countRefusals(
    decided.flatMap(({ id }, index) =>
      ['Olga', 'Otto'].map(
        (officer) => () =>
          decideProposal(tidemark, { facilityId: id, officer, approve: index % 4 !== 0 }),
      ),
    ),
  )
  await settled(tidemark)

  say('everybody spends money, some at two machines at once, some more than they have')
  const withdrawals = people.flatMap(({ id, income }, index) => {
    const times = index % 2 === 0 ? [1, 2] : [1]
    return times.map((time) => () => {
      const amount = (income * 3n) / 5n
      return withdraw(tidemark, { accountId: accountOf(id), amount, text: `Machine ${time}` })
    })
  })
  const refusals = await countRefusals(withdrawals)
  await settled(tidemark)

  return {
    customers,
    paymentsBooked: first.booked + second.booked,
    paymentsKnown: first.known + second.known,
    withdrawals: withdrawals.length - refusals,
    refusals,
    decisions: decided.length,
    lateDecisions,
  }
}

/** Everything about a person follows from their number, so that each run tells the same story. */
function person(index: number) {
  const given = givenNames[index % givenNames.length] ?? ''
  const family = familyNames[Math.floor(index / givenNames.length) % familyNames.length] ?? ''
  const id = `C-${String(index + 1).padStart(3, '0')}`
  return {
    id,
    name: { given, family },
    email: `${given}.${family}.${id}@example.com`.toLowerCase(),
    income: BigInt(1_800_00 + (index % 17) * 350_00),
    wish: BigInt(2_000_00 + ((index * 7) % 23) * 3_000_00),
  }
}

/** Gives the commands to the clerks; answers how many the bank refused. Any other error is one. */
async function countRefusals(commands: readonly (() => Promise<unknown>)[]): Promise<number> {
  let refused = 0
  await inParallel(clerks, commands, async (command) => {
    try {
      await command()
    } catch (error) {
      if (!(error instanceof BankError)) throw error
      refused += 1
    }
  })
  return refused
}
