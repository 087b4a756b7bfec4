import { AsyncLocalStorage } from 'node:async_hooks'
import { DBOS } from '@dbos-inc/dbos-sdk'
import {
  assertStillOwnsWorkflow,
  DBOSStepAlreadyRecordedError,
  migrateDataSourcePG,
  registerDataSource,
  replayRecordedStep,
  runTransaction,
  type DataSourceTransactionHandler,
} from '@dbos-inc/dbos-sdk/datasource'
import pg from 'pg'
import { committed } from './peer.ts'

/**
 * Transactional steps of DBOS over node-postgres, by its interface for data sources: what a step did commits with the
 * row that says that it is done.
 */
export class DbosDataSource implements DataSourceTransactionHandler {
  readonly name = 'effects'
  readonly #pool: pg.Pool
  readonly #clients = new AsyncLocalStorage<pg.PoolClient>()

  constructor(connectionString: string, max: number) {
    this.#pool = new pg.Pool({ connectionString, max })
    registerDataSource(this)
  }

  async initialize(): Promise<void> {
    await committed(this.#pool, (client) =>
      migrateDataSourcePG(async (sql) => (await client.query(sql)).rows),
    )
  }

  async destroy(): Promise<void> {
    await this.#pool.end()
  }

  /** Runs a step of the workflow that this is called in. */
  async run(step: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const onItsClient = (): Promise<void> => {
      const client = this.#clients.getStore()
      if (client === undefined) throw new Error('a step runs in its transaction')
      return step(client)
    }
    await runTransaction(onItsClient, 'effect', { dsName: this.name })
  }

  async invokeTransactionFunction<This, Args extends unknown[], Return>(
    _config: unknown,
    target: This,
    step: (this: This, ...args: Args) => Promise<Return>,
    ...args: Args
  ): Promise<Return> {
    const [workflow, number] = [DBOS.workflowID ?? '', DBOS.stepID ?? 0]
    const { rows } = await this.#pool.query<{ output: string | null; error: string | null }>(
      `SELECT output, error FROM dbos.transaction_completion WHERE workflow_id = $1 AND function_num = $2`,
      [workflow, number],
    )
    const [recorded] = rows
    if (recorded !== undefined) return replayRecordedStep<Return>(recorded)
    return committed(this.#pool, async (client) => {
      const result = await this.#clients.run(client, () => step.apply(target, args))
      const { rowCount } = await client.query(
        `INSERT INTO dbos.transaction_completion (workflow_id, function_num) VALUES ($1, $2)
         ON CONFLICT DO NOTHING`,
        [workflow, number],
      )
      if (rowCount === 0) throw new DBOSStepAlreadyRecordedError(workflow, number)
      await assertStillOwnsWorkflow(workflow)
      return result
    })
  }
}
