import type { TestDatabase } from '@tidemark/testing'
import { defineApp, silentLogger, type EventDraft } from 'tidemark'
import { vi } from 'vitest'
import { approvalSql, approve } from '../../by-hand/approval.ts'
import { countLending, dashboardSql, readDashboard } from '../../by-hand/dashboard.ts'
import { runDeliveries } from '../../by-hand/deliver-letter.ts'
import { lettersSql, retryParked, writeLetter } from '../../by-hand/letters.ts'
import {
  outboxSql,
  record,
  runReader,
  transaction,
  type Client,
  type Handler,
} from '../../by-hand/outbox.ts'
import * as credit from '../../src/credit/index.ts'
import { customerRegistered } from '../../src/customers/index.ts'
import { dashboard, type Dashboard } from '../../src/dashboard/index.ts'
import { tablesSql } from '../../src/migrate.ts'
import { deliverLetter, letters } from '../../src/notifications/index.ts'

/** Where in which stream an event goes. */
export interface Position {
  readonly stream: string
  readonly version: number
}

/** What both ways to write a transaction of the bank have in common. */
export interface Transaction {
  query(sql: string, values?: unknown[]): Promise<unknown>
  publish(draft: EventDraft, position?: Position): Promise<void>
}

/** What the two versions of a consumer, with Tidemark and by hand, are tested through; two workers run it. */
export interface Version extends AsyncDisposable {
  transaction(body: (tx: Transaction) => Promise<void>): Promise<void>
  readDashboard(): Promise<Dashboard>
  /** How many letters are set aside. */
  parked(): Promise<number>
  retryParked(): Promise<void>
  /** Each event in a stream, as `stream version type`, in the order in which they were published. */
  events(): Promise<string[]>
}

export type Consumer = 'dashboard' | 'approval' | 'letters'
export type Open = (database: TestDatabase, consumer: Consumer) => Promise<Version>

const events = [
  customerRegistered,
  credit.proposalSubmitted,
  credit.proposalApproved,
  credit.proposalDeclined,
  credit.facilityActivated,
]
const consumers = {
  dashboard: [dashboard],
  approval: [credit.approval],
  letters: [letters, deliverLetter],
}

async function withTidemark(database: TestDatabase, consumer: Consumer): Promise<Version> {
  await database.query(tablesSql)
  const modules = [...events, ...consumers[consumer]]
  const workers = [1, 2].map(() =>
    defineApp({ modules, connectionString: database.url, logger: silentLogger }),
  )
  await Promise.all(workers.map((app) => app.start({ handleSignals: false, leaseDuration: 2_000 })))
  const [app] = workers as [(typeof workers)[0]]
  return {
    transaction: async (body) => {
      await app.transaction((tx) =>
        body({
          query: (sql, values) => tx.query(sql, values),
          publish: async (draft, position) => {
            if (position === undefined) tx.publish(draft)
            else {
              const { stream, version } = position
              tx.publish(draft, { stream, expectedVersion: version === 1 ? 'none' : version - 1 })
            }
          },
        }),
      )
    },
    readDashboard: () => app.read(dashboard),
    parked: async () => (await app.deadLetters.list({ listener: letters.name })).length,
    retryParked: async () => {
      await app.deadLetters.retry({ listener: letters.name })
    },
    events: async () => {
      const all = []
      for await (const event of app.events({})) all.push(event)
      return all.map(({ stream, streamVersion, type }) => `${stream} ${streamVersion} ${type}`)
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(workers.map((worker) => worker.close()))
    },
  }
}

const handlers: Record<Consumer, { readonly sql: string; readonly handle: Handler }> = {
  dashboard: { sql: dashboardSql, handle: countLending },
  approval: { sql: approvalSql, handle: approve },
  letters: { sql: lettersSql, handle: writeLetter },
}

async function byHand({ pool }: TestDatabase, consumer: Consumer): Promise<Version> {
  const { sql, handle } = handlers[consumer]
  await pool.query(tablesSql)
  await pool.query(outboxSql + sql)
  const stop = new AbortController()
  const complaints = vi.spyOn(console, 'error').mockReturnValue()
  const workers = [1, 2].flatMap(() => [
    runReader(pool, stop.signal, consumer, handle),
    ...(consumer === 'letters' ? [runDeliveries(pool, stop.signal)] : []),
  ])
  const rows = async (client: Client, query: string) => (await client.query(query)).rows
  return {
    transaction: (body) =>
      transaction(pool, (client) =>
        body({
          query: (text, values) => client.query(text, values),
          publish: (draft, position) =>
            record(client, draft.definition.type, draft.payload as object, position),
        }),
      ),
    readDashboard: () => readDashboard(pool),
    parked: async () => (await rows(pool, 'SELECT FROM parked_letters')).length,
    retryParked: () => retryParked(pool),
    events: async () => {
      const all = await rows(pool, 'SELECT stream, version, type FROM outbox ORDER BY id')
      return all.map(({ stream, version, type }) => `${stream} ${version} ${type}`)
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(workers)
      complaints.mockRestore()
    },
  }
}

/** Both versions, by name. */
export const versions: readonly (readonly [string, Open])[] = [
  ['with Tidemark', withTidemark],
  ['by hand', byHand],
]

/** Makes the first writes to a table fail, whatever is rolled back: a sequence does not go back. */
export async function failFirst(
  database: TestDatabase,
  table: string,
  times: number,
): Promise<void> {
  await database.query(`
    CREATE SEQUENCE failures;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('failures') <= ${times} THEN RAISE EXCEPTION 'not now'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE ${table === 'facilities' ? 'UPDATE' : 'INSERT'} ON ${table}
      FOR EACH ROW EXECUTE FUNCTION fail()`)
}
