import { assess } from '../src/credit/assess.ts'
import { record, type Client, type OutboxEvent } from './outbox.ts'

export const approvalSql = `INSERT INTO readers VALUES ('approval', 0);`

/** The process from proposal to loan. */
export async function approve(client: Client, { type, payload }: OutboxEvent): Promise<void> {
  const { facilityId, customerId, amount } = payload
  const facility = { facilityId, customerId, amount }
  const stream = `facility-${facilityId}`
  if (type === 'credit.proposal_submitted') {
    const verdict = assess({
      amount: BigInt(amount),
      monthlyIncome: BigInt(payload.monthlyIncome),
      exposure: await exposureOf(client, customerId),
    })
    switch (verdict.outcome) {
      case 'approve':
        await setStatus(client, facilityId, 'approved', 2)
        await record(
          client,
          'credit.proposal_approved',
          { ...facility, approvedBy: 'rules' },
          { stream, version: 2 },
        )
        break
      case 'decline':
        await setStatus(client, facilityId, 'declined', 2)
        await record(
          client,
          'credit.proposal_declined',
          { ...facility, reason: verdict.reason },
          { stream, version: 2 },
        )
        break
      case 'review':
        await setStatus(client, facilityId, 'in_review', 1)
        break
    }
  }
  if (type === 'credit.proposal_approved') {
    await setStatus(client, facilityId, 'active', 3)
    await record(
      client,
      'credit.facility_activated',
      { ...facility, activatedAt: new Date() },
      { stream, version: 3 },
    )
  }
}

async function exposureOf(client: Client, customerId: string): Promise<bigint> {
  const { rows } = await client.query(
    `SELECT coalesce(sum(amount), 0) AS exposure FROM facilities
     WHERE customer_id = $1 AND status IN ('approved', 'active')`,
    [customerId],
  )
  return BigInt(rows[0].exposure)
}

async function setStatus(
  client: Client,
  facilityId: string,
  status: 'in_review' | 'approved' | 'declined' | 'active',
  version: number,
): Promise<void> {
  const { rowCount } = await client.query(
    'UPDATE facilities SET status = $2, version = $3 WHERE id = $1',
    [facilityId, status, version],
  )
  if (rowCount !== 1) throw new Error(`there is no facility ${facilityId}`)
}
