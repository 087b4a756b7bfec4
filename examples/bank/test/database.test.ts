import { expect, test } from 'vitest'
import { useBank } from './support.ts'

const bank = useBank()

test('db and tx.db know the tables: a misspelt one does not compile, and does not run', async () => {
  const { tidemark } = bank
  await expect(
    // @ts-expect-error -- there is no such table
    tidemark.db.selectFrom('custmers').selectAll().execute(),
  ).rejects.toThrow('custmers')
  await expect(
    tidemark.transaction((tx) =>
      // @ts-expect-error -- there is no such column
      tx.db.updateTable('customers').set({ mail: 'ada@example.com' }).execute(),
    ),
  ).rejects.toThrow('mail')
})
