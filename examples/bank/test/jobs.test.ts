import { waitForIdle } from '@tidemark/testing'
import { expect, test, vi } from 'vitest'
import { registerCustomer } from '../src/customers/index.ts'
import { importPaymentFile, nightlyStatements, sendStatements } from '../src/deposits/index.ts'
import { mailServer } from '../src/notifications/mail-server.ts'
import { useBank } from './support.ts'

const bank = useBank()

const person = (customerId: string) => ({
  customerId,
  name: { given: 'Ida', family: 'Holm' },
  email: `${customerId}@example.com`,
})

test('a letter is delivered by a job that the listener spawned in the commit of the letter', async () => {
  const { tidemark } = bank
  await registerCustomer(tidemark, person('ida'))
  await waitForIdle(tidemark)
  const [job] = await tidemark.jobs.list({ name: 'notifications.deliver_letter' })
  await tidemark.jobs.handle(job?.id ?? '').result()
  expect(job?.triggeredBy).toBe('listener:notifications.letters')
  expect([...mailServer.sent.values()]).toMatchObject([
    { to: 'ida@example.com', subject: 'Welcome' },
  ])
})

test('a long import shows its progress, is paused in the middle, and goes on where it stopped', async () => {
  const { tidemark } = bank
  await registerCustomer(tidemark, person('isa'))
  await waitForIdle(tidemark)
  const payments = Array.from({ length: 2_000 }, (_, n) => ({
    accountId: 'isa',
    amount: 1n,
    text: `payment ${n}`,
  }))
  const handle = await tidemark.jobs.spawn(importPaymentFile, { file: 'may.csv', payments })
  for await (const { progress } of handle.progress()) {
    if (typeof progress === 'number' && progress > 0) break
  }
  await tidemark.jobs.pause(handle.id)
  await vi.waitFor(
    async () => expect((await tidemark.jobs.get(handle.id))?.status).toBe('paused'),
    {
      timeout: 20_000,
    },
  )
  const balance = async () =>
    (await bank.database.query(`select balance::int from accounts where id = 'isa'`)).rows
  const [paused] = (await balance()) as { balance: number }[]
  expect(paused?.balance).toBeGreaterThan(0)
  expect(paused?.balance).toBeLessThan(2_000)
  await tidemark.jobs.resume(handle.id)
  expect(await handle.result()).toEqual({ booked: 2_000 })
  expect(await balance()).toEqual([{ balance: 2_000 }])
})

test('the statements of a night are written once for each account', async () => {
  const { tidemark } = bank
  await registerCustomer(tidemark, person('una'))
  await registerCustomer(tidemark, person('uwe'))
  await waitForIdle(tidemark)
  const tick = new Date('2026-05-02T01:00:00Z')
  expect(nightlyStatements.nextAfter(new Date('2026-05-01T12:00:00Z'))).toEqual(tick)
  expect(nightlyStatements.inputOf(tick)).toEqual({ day: '2026-05-02' })
  const handle = await tidemark.jobs.spawn(sendStatements, { day: '2026-05-02' })
  await handle.result()
  const { rows } = await bank.database.query(
    `select account_id, day::text, balance from sent_statements
     where account_id in ('una', 'uwe') order by 1`,
  )
  expect(rows).toEqual([
    { account_id: 'una', day: '2026-05-02', balance: '0' },
    { account_id: 'uwe', day: '2026-05-02', balance: '0' },
  ])
})
