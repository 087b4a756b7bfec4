import { defineJob, type Executor, type JobDefinition } from 'tidemark'
import { z } from 'zod'

const input = z.object({ n: z.number(), key: z.number() })

/**
 * Two jobs that write one effect each, in a transaction of their own or in one that they share with others. Jobs of one
 * type with one key must never be at it side by side: each takes a lock of both for its transaction, and says what it
 * found.
 */
export function keyedEffects(name: string): {
  readonly alone: JobDefinition
  readonly batched: JobDefinition
} {
  const write = async (tx: Executor, type: number, n: number, key: number): Promise<void> => {
    const { rows } = await tx.query(
      'select pg_try_advisory_xact_lock($1::integer, $2::integer) as free',
      [type, key],
    )
    await tx.query('insert into effects (listener, sequence, process) values ($1, $2, $3)', [
      rows[0]?.['free'] === true ? 'by itself' : 'side by side',
      n,
      name,
    ])
    await tx.query('select pg_sleep(0.02)')
  }
  const common = {
    input,
    concurrencyKey: ({ key }: { key: number }) => `key ${key}`,
    // What goes wrong here is the world, not the job.
    retry: { attempts: 1_000, backoff: () => 20 },
  }
  const alone = defineJob('alone', {
    ...common,
    run: ({ input: { n, key } }, ctx) =>
      ctx.transaction(async (tx) => {
        await write(tx.tx, 1, n, key)
        tx.complete()
      }),
  })
  const batched = defineJob('batched', {
    ...common,
    transact: ({ input: { n, key } }, { tx }) => write(tx, 2, n, key),
  })
  return { alone, batched }
}
