import type { Client, OutboxEvent } from './outbox.ts'

interface Dashboard {
  readonly pending: number
  readonly declined: number
  readonly active: number
  readonly disbursed: bigint
}

export const dashboardSql = `
  CREATE TABLE dashboard (
    pending   bigint NOT NULL DEFAULT 0,
    declined  bigint NOT NULL DEFAULT 0,
    active    bigint NOT NULL DEFAULT 0,
    disbursed bigint NOT NULL DEFAULT 0
  );
  INSERT INTO dashboard DEFAULT VALUES;
  INSERT INTO readers VALUES ('dashboard', 0);`

/** Counts lending at a glance. */
export async function countLending(client: Client, { type, payload }: OutboxEvent): Promise<void> {
  switch (type) {
    case 'credit.proposal_submitted':
      await client.query('UPDATE dashboard SET pending = pending + 1')
      break
    case 'credit.proposal_declined':
      await client.query('UPDATE dashboard SET pending = pending - 1, declined = declined + 1')
      break
    case 'credit.facility_activated':
      await client.query(
        `UPDATE dashboard SET pending = pending - 1, active = active + 1, disbursed = disbursed + $1`,
        [payload.amount],
      )
      break
  }
}

export async function readDashboard(client: Client): Promise<Dashboard> {
  const { rows } = await client.query('SELECT * FROM dashboard')
  const { pending, declined, active, disbursed } = rows[0]
  return {
    pending: Number(pending),
    declined: Number(declined),
    active: Number(active),
    disbursed: BigInt(disbursed),
  }
}
