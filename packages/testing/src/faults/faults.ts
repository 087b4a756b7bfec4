import { randomInt } from 'node:crypto'
import type { TestDatabase } from '../database/test-database.ts'
import { HeldCommits } from './held-commits.ts'
import { SqlFault, type Fault } from './sql-fault.ts'

/** Where faults are planted. */
export type FaultyDatabase = Pick<TestDatabase, 'schema' | 'query' | 'connect'>

/** How a crash is planted. */
export interface CrashOptions {
  /** How many commits crash. Defaults to 1. */
  readonly times?: number
}

/**
 * Plants faults in a test database, with triggers: the application under test runs as it is. Dispose each fault to
 * remove it.
 *
 * @example
 * ```ts
 * import { faults } from '@tidemark/testing'
 * import { useTestDatabase } from '@tidemark/testing/vitest'
 *
 * const database = useTestDatabase()
 *
 * test('a letter is written once, also when the worker crashes before it commits', async () => {
 *   await using crash = await faults(database).crashBeforeCommit('letters')
 *   // publish, drain, look
 *   expect(await crash.hits()).toBe(1)
 * })
 * ```
 */
export function faults(database: FaultyDatabase): Faults {
  return new Faults(database)
}

/** The faults that can be planted. */
export class Faults {
  readonly #database: FaultyDatabase

  constructor(database: FaultyDatabase) {
    this.#database = database
  }

  /**
   * Cuts the connection of a listener's transaction at its COMMIT, after all effects and before any of them counts, as
   * when the process dies there.
   */
  async crashBeforeCommit(listener: string, { times = 1 }: CrashOptions = {}): Promise<Fault> {
    return SqlFault.plant(this.#database, {
      table: 'cursors',
      when: 'constraint',
      // Interrupts are looked at in the sleep, which is never slept.
      body: (hit) => `
        if new.listener = ${literal(listener)} and new.cursor > old.cursor and ${hit} <= ${times} then
          perform pg_terminate_backend(pg_backend_pid());
          perform pg_sleep(60);
        end if;
        return null;`,
    })
  }

  /**
   * Cuts the connection of a job's attempt where it writes, as when the process dies there:
   *
   * - `'checkpoint'`: at the COMMIT of a checkpoint, of which nothing is kept;
   * - `'step'`: at the COMMIT of a step: its work is done, and nobody knows;
   * - `'after-step'`: before the next thing that is written once a step is finished;
   * - `'completion'`: at the COMMIT of the completion: with `transact` or `complete`, all of that is rolled back.
   */
  async crashJob(
    point: 'checkpoint' | 'step' | 'after-step' | 'completion',
    job: string | { readonly name: string },
    { times = 1 }: CrashOptions = {},
  ): Promise<Fault> {
    const name = literal(typeof job === 'string' ? job : job.name)
    const { schema } = this.#database
    const isJob = `exists (select from "${schema}".jobs j where j.id = new.job and j.name = ${name})`
    const finished = `exists (select from "${schema}".job_steps s where s.job = new.job and s.completed_at is not null)`
    const [table, condition] = {
      checkpoint: ['job_states', `new.state is not null and ${isJob}`],
      step: ['job_steps', `new.completed_at is not null and ${isJob}`],
      'after-step': ['job_steps', `${isJob} and ${finished}`],
      completion: [
        'jobs',
        `new.name = ${name} and new.status = 'completed' and old.status = 'running'`,
      ],
    }[point] as ['job_states' | 'job_steps' | 'jobs', string]
    return SqlFault.plant(this.#database, {
      table,
      when: point === 'after-step' ? 'before' : 'constraint',
      body: (hit) => `
        if ${condition} then
          if ${hit} <= ${times} then
            perform pg_terminate_backend(pg_backend_pid());
            perform pg_sleep(60);
          end if;
        end if;
        return new;`,
    })
  }

  /**
   * Holds transactions back at their COMMIT, with everything done and nothing visible, until they are released: those
   * of publishers, or those of a listener.
   *
   * @param of - `'publishers'`, or the name of a listener.
   */
  async holdCommits(of: 'publishers' | { readonly listener: string }): Promise<HeldCommits> {
    const gate = randomInt(1, 2 ** 31)
    const condition =
      of === 'publishers'
        ? 'true'
        : `new.listener = ${literal(of.listener)} and new.cursor > old.cursor`
    const fault = await SqlFault.plant(this.#database, {
      table: of === 'publishers' ? 'events' : 'cursors',
      when: 'constraint',
      body: (hit) => `
        if ${condition} and ${hit} > 0 then
          perform pg_advisory_xact_lock_shared(${gate});
        end if;
        return null;`,
    })
    return HeldCommits.close(this.#database, fault, gate)
  }

  /**
   * Makes another the owner of a listener's partitions, while its present owner still believes in its lease: what that
   * one commits next is refused by the fence.
   *
   * @param duration - for how many milliseconds nobody can take them back. Defaults to 0.
   * @returns how many partitions changed hands.
   */
  async usurp(listener: string, duration = 0): Promise<number> {
    const { rowCount } = await this.#database.query(
      `update "${this.#database.schema}".cursors
       set owner = gen_random_uuid(), epoch = epoch + 1,
           lease_until = clock_timestamp() + $2::integer * interval '1 ms'
       where listener = $1`,
      [listener, duration],
    )
    return rowCount ?? 0
  }

  /** Loses the doorbell: sleepers believe that publishers will wake them, and no publisher does. */
  async muteDoorbell(): Promise<Fault> {
    const { schema } = this.#database
    const fault = await SqlFault.plant(this.#database, {
      table: 'doorbells',
      when: 'before',
      body: (hit) => `
        if new.armed and ${hit} > 0 then new.armed := false; end if;
        return new;`,
    })
    await this.#database.query(`update "${schema}".doorbells set armed = false`)
    return {
      hits: () => fault.hits(),
      [Symbol.asyncDispose]: async () => {
        await fault[Symbol.asyncDispose]()
        // Sleepers still believe that they are armed; who is not asleep is rung once for nothing.
        await this.#database.query(`update "${schema}".doorbells set armed = true`)
      },
    }
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
