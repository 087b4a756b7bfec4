import type { TestDatabase } from '@tidemark/testing'
import type { Gate } from './gate.ts'

// The view `publishers` is the reader's look at who publishes. A test puts a function in its place that does the
// same look and then something else.

/** Makes whoever looks for publishers wait at the gate, after the look. */
export async function gateAfterTheLook(database: TestDatabase, gate: Gate): Promise<void> {
  await replaceLook(database, `perform pg_advisory_xact_lock_shared(${gate.key});`)
}

/** Counts the looks; answers what reads the count. */
export async function countLooks(database: TestDatabase): Promise<() => Promise<number>> {
  await database.query('create sequence looks')
  await replaceLook(database, `perform nextval('looks');`)
  return async () => {
    const { rows } = await database.query<{ n: string }>(
      `select coalesce(pg_sequence_last_value('looks'::regclass), 0) as n`,
    )
    return Number(rows[0]?.n)
  }
}

async function replaceLook(database: TestDatabase, then: string): Promise<void> {
  const { schema } = database
  await database.query(`
    do $do$ begin
      execute 'create view public.look as ' || pg_get_viewdef('${schema}.publishers'::regclass);
    end $do$`)
  await database.query(`
    create function public.look_then() returns table (floor bigint, pid integer) language plpgsql as $$
    begin
      return query select l.floor, l.pid from public.look l;
      ${then}
    end $$`)
  await database.query(
    `create or replace view ${schema}.publishers as select floor, pid from public.look_then()`,
  )
}
