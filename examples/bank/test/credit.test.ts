import { waitForIdle } from '@tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { assess } from '../src/credit/assess.ts'
import { approval, decideProposal, submitProposal } from '../src/credit/index.ts'
import { registerCustomer } from '../src/customers/index.ts'
import { useBank } from './support.ts'

const bank = useBank()
let customerId = ''
let customers = 0

beforeEach(async () => {
  customerId = `customer-${++customers}`
  await registerCustomer(bank.tidemark, {
    customerId,
    name: { given: 'Cleo', family: 'Cooper' },
    email: `${customerId}@example.com`,
  })
})

function submit(facilityId: string, amount: bigint, monthlyIncome = 10_000_00n) {
  return submitProposal(bank.tidemark, { facilityId, customerId, amount, monthlyIncome })
}

async function facility(id: string) {
  return bank.tidemark.db
    .selectFrom('facilities')
    .select(['status', 'version'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
}

async function balance(): Promise<string> {
  const account = await bank.tidemark.db
    .selectFrom('accounts')
    .select('balance')
    .where('customer_id', '=', customerId)
    .executeTakeFirstOrThrow()
  return account.balance
}

async function letters(): Promise<string[]> {
  const rows = await bank.tidemark.db
    .selectFrom('letters')
    .select('body')
    .where('customer_id', '=', customerId)
    .where('subject', '<>', 'Welcome')
    .execute()
  return rows.map(({ body }) => body)
}

describe('a proposal', () => {
  test('within the rules is approved, activated and paid out', async () => {
    await submit('small', 5_000_00n)
    await waitForIdle(bank.tidemark)

    expect(await facility('small')).toEqual({ status: 'active', version: '3' })
    expect(await balance()).toBe('500000')
    expect(await letters()).toEqual(['Dear Cleo, 5,000.00 € are on the way to your account.'])
  })

  test('of more than a year of income is declined, with a letter that says why', async () => {
    await submit('greedy', 120_001_00n)
    await waitForIdle(bank.tidemark)

    expect(await facility('greedy')).toEqual({ status: 'declined', version: '2' })
    expect(await balance()).toBe('0')
    expect(await letters()).toEqual([
      'Dear Cleo, We cannot lend you the money: it is more than a year of your income.',
    ])
  })

  test('counts what the customer owes, also within one batch', async () => {
    await submit('first', 40_000_00n)
    await submit('second', 40_000_00n)
    const { sequence } = await submit('third', 40_000_01n)
    await bank.tidemark.waitFor(approval, sequence)

    expect((await facility('third')).status).toBe('declined')
    await waitForIdle(bank.tidemark)
    expect(await balance()).toBe('8000000')
  })

  test('of a large amount waits for a person', async () => {
    const { sequence } = await submit('large', 60_000_00n)
    await bank.tidemark.waitFor(approval, sequence)
    expect(await facility('large')).toEqual({ status: 'in_review', version: '1' })

    await decideProposal(bank.tidemark, { facilityId: 'large', officer: 'Olga', approve: true })
    await waitForIdle(bank.tidemark)
    expect(await facility('large')).toEqual({ status: 'active', version: '3' })
    expect(await balance()).toBe('6000000')
  })

  test('that two officers decide at once is decided by one of them', async () => {
    const { sequence } = await submit('contested', 60_000_00n)
    await bank.tidemark.waitFor(approval, sequence)

    const decisions = await Promise.allSettled([
      decideProposal(bank.tidemark, { facilityId: 'contested', officer: 'Olga', approve: true }),
      decideProposal(bank.tidemark, { facilityId: 'contested', officer: 'Otto', approve: false }),
    ])
    expect(decisions.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    const loser = decisions.find(({ status }) => status === 'rejected') as PromiseRejectedResult
    expect(loser.reason).toMatchObject({ name: 'BankError' })
    await waitForIdle(bank.tidemark)
    expect(await letters()).toHaveLength(1)
  })
})

test.each([
  { amount: 12_000_00n, exposure: 0n, outcome: 'approve' },
  { amount: 12_000_01n, exposure: 0n, outcome: 'decline' },
  { amount: 6_000_00n, exposure: 6_000_01n, outcome: 'decline' },
])('the rules say $outcome to $amount on top of $exposure', ({ outcome, ...application }) => {
  expect(assess({ ...application, monthlyIncome: 1_000_00n }).outcome).toBe(outcome)
})
