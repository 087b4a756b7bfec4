import { foldEvents } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { facilityActivated, proposalDeclined, proposalSubmitted } from '../src/credit/events.ts'
import { dashboard } from '../src/dashboard/index.ts'

const proposal = (facilityId: string) => ({ facilityId, customerId: 'ada', amount: 1_000_00n })

test('the dashboard counts what is pending, declined and active, and what was lent', () => {
  const past = [
    proposalSubmitted({ ...proposal('one'), monthlyIncome: 1n }),
    proposalSubmitted({ ...proposal('two'), monthlyIncome: 1n }),
    proposalSubmitted({ ...proposal('three'), monthlyIncome: 1n }),
    proposalDeclined({ ...proposal('one'), reason: 'Too much' }),
    facilityActivated({ ...proposal('two'), activatedAt: new Date(0) }),
  ]
  expect(foldEvents(dashboard, past)).toEqual({
    pending: 1,
    declined: 1,
    active: 1,
    disbursed: 1_000_00n,
  })
})
