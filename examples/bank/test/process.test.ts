import { faults, given } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { submitProposal } from '../src/credit/index.ts'
import { customerRegistered } from '../src/customers/events.ts'
import { dashboard } from '../src/dashboard/index.ts'
import { letters } from '../src/notifications/index.ts'
import { useBank } from './support.ts'

const bank = useBank()

function registered(customerId: string) {
  const name = { given: 'Cleo', family: 'Cooper' }
  return customerRegistered({ customerId, name, email: `${customerId}@example.com` })
}

function submit(facilityId: string, customerId: string) {
  return submitProposal(bank.tidemark, {
    facilityId,
    customerId,
    amount: 5_000_00n,
    monthlyIncome: 10_000_00n,
  })
}

test('a proposal runs through the whole process', async () => {
  const outcome = await given(bank.tidemark, [registered('cleo')]).when(() => submit('car', 'cleo'))
  expect(outcome.published.map(({ type }) => type)).toEqual([
    'credit.proposal_submitted',
    'credit.proposal_approved',
    'credit.facility_activated',
    'deposits.deposited',
  ])
  await outcome.thenState(dashboard, {
    pending: 0,
    declined: 0,
    active: 1,
    disbursed: 5_000_00n,
  })
  await outcome.thenRows(
    'select status, version from facilities where id = $1',
    [{ status: 'active', version: '3' }],
    ['car'],
  )
  await outcome.thenDeadLetters(letters)
})

test('a letter is written once, also when its worker dies at the moment of the commit', async () => {
  await using crash = await faults(bank.database).crashBeforeCommit(letters.name, { times: 2 })
  const outcome = await given(bank.tidemark, []).when(registered('dora'))
  expect(await crash.hits()).toBeGreaterThan(2)
  await outcome.thenRows(
    'select subject from letters where customer_id = $1',
    [{ subject: 'Welcome' }],
    ['dora'],
  )
})
