import type { App } from 'tidemark'

/** A customer as the bank's old system exports them. */
export interface OldCustomer {
  readonly id: string
  readonly name: string
  readonly email: string
}

// What a script in any other language would do: rows and events in one statement. The old system knows only the
// first version of the event.
const importSql = `
WITH old AS (
  SELECT * FROM jsonb_to_recordset($1::jsonb) AS o (id text, name text, email text)
), moved AS (
  INSERT INTO customers (id, name, email) SELECT id, name, email FROM old
  RETURNING id, name, email
)
SELECT tidemark.publish(
  'customers.registered',
  jsonb_build_object('customerId', id, 'name', name, 'email', email),
  stream => 'customer-' || id,
  expected_version => 0,
  version => 1
) FROM moved`

/** Takes over the customers of the old system, in SQL alone. */
export async function importCustomers(
  tidemark: App,
  customers: readonly OldCustomer[],
): Promise<void> {
  await tidemark.transaction((tx) => tx.query(importSql, [JSON.stringify(customers)]))
}
