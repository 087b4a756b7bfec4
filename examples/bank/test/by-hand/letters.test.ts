import { useTestDatabase } from '@tidemark/testing/vitest'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { facilityActivated, proposalDeclined } from '../../src/credit/index.ts'
import { customerRegistered } from '../../src/customers/index.ts'
import { mailServer } from '../../src/notifications/mail-server.ts'
import { failFirst, versions } from './version.ts'

const loan = { amount: 1_000_00n, activatedAt: new Date(0) }

describe.for(versions)('the letters %s', ([, open]) => {
  const database = useTestDatabase()

  async function subjects(): Promise<string[]> {
    const { rows } = await database.query(
      'SELECT customer_id, subject FROM letters ORDER BY customer_id, subject',
    )
    return rows.map(({ customer_id, subject }) => `${customer_id}: ${subject}`)
  }

  test('are written and sent once, with two workers and failures; one without an address waits aside', async () => {
    mailServer.sent.clear()
    const send = vi.spyOn(mailServer, 'send').mockRejectedValueOnce(new Error('mailbox busy'))
    onTestFinished(() => send.mockRestore())
    await using version = await open(database, 'letters')
    await failFirst(database, 'letters', 2)

    const expected = ['lost: Your loan']
    await version.transaction((tx) =>
      tx.publish(facilityActivated({ ...loan, facilityId: 'lost', customerId: 'lost' })),
    )
    await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        const customerId = `customer-${n}`
        const facility = { ...loan, facilityId: customerId, customerId }
        await version.transaction((tx) =>
          tx.publish(
            customerRegistered({
              customerId,
              name: { given: 'Ada', family: 'Byron' },
              email: `${customerId}@example.com`,
            }),
          ),
        )
        await version.transaction(async (tx) => {
          await tx.publish(facilityActivated(facility))
          await tx.query('SELECT pg_sleep($1)', [n / 100])
        })
        await version.transaction((tx) => {
          const { activatedAt: _activatedAt, ...proposal } = facility
          return tx.publish(proposalDeclined({ ...proposal, reason: 'it is enough' }))
        })
        expected.push(
          ...['Welcome', 'Your loan', 'Your proposal'].map(
            (subject) => `${customerId}: ${subject}`,
          ),
        )
      }),
    )
    expected.sort()
    const others = expected.filter((letter) => !letter.startsWith('lost'))
    await vi.waitFor(async () => expect(await subjects()).toEqual(others), 40_000)
    expect(await version.parked()).toBe(1)

    await database.query(`INSERT INTO recipients VALUES ('lost', 'Hugo', 'lost@example.com')`)
    await version.retryParked()
    await vi.waitFor(async () => expect(await subjects()).toEqual(expected), 20_000)
    expect(await version.parked()).toBe(0)

    await vi.waitFor(() => expect(mailServer.sent.size).toBe(expected.length), 40_000)
    const { rows } = await database.query('SELECT id, email AS to, subject, body FROM letters')
    expect(new Map(rows.map(({ id, ...mail }) => [id, mail]))).toEqual(mailServer.sent)
    // The one that failed, and no other, was tried again.
    expect(send).toHaveBeenCalledTimes(expected.length + 1)
  })
})
