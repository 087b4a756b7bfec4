import type { TestDatabase } from '@tidemark/testing'

/** Replaces the partitions of the outbox by such of 100 sequences, enough for 1,000. */
export async function smallPartitions(database: TestDatabase): Promise<void> {
  await database.query(`
    do $$ declare name text; begin
      for name in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tidemark.events'::regclass and c.relname <> 'events_default'
      loop execute format('drop table tidemark.%I', name); end loop;
    end $$`)
  await database.query('select tidemark.ensure_partitions(11, 100)')
}
