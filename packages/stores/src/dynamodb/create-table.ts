import { setTimeout as wait } from 'node:timers/promises'
import { rejectUnknownOptions } from 'tidemark'
import { requireWhole } from '../opened/checked.ts'
import { tableOf, type TableOptions } from './dynamodb-store.ts'
import { byShard, byStatus } from './item.ts'
import { DynamoError, isPassing } from './table-client.ts'

/** The table, and what capacity it has. */
export interface CreateTableOptions extends TableOptions {
  /** Units of reading and writing, for the table and each of its two indexes. Defaults to on-demand capacity. */
  readonly capacity?: { readonly read: number; readonly write: number }
}

const patience = 300_000

/**
 * Makes the table of a store, with its indexes and its expiry, where it is not there yet; and waits until it can be
 * used.
 *
 * @returns whether it made one.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, and DynamoError for what DynamoDB refuses.
 *
 * @example
 * ```ts
 * import { createDynamodbTable } from '@tidemark/stores/dynamodb'
 * import { AwsClient } from 'aws4fetch'
 *
 * const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
 * const client = new AwsClient({ ...secrets, service: 'dynamodb', region: 'eu-central-1' })
 * console.log(await createDynamodbTable({ client, region: 'eu-central-1' }))
 * ```
 */
export async function createDynamodbTable(options: CreateTableOptions): Promise<boolean> {
  const known = ['client', 'table', 'region', 'endpoint', 'capacity']
  rejectUnknownOptions('createDynamodbTable', options, known)
  const { capacity } = options
  if (capacity !== undefined) {
    requireWhole('createDynamodbTable', 'capacity.read', capacity.read, 1, 1_000_000)
    requireWhole('createDynamodbTable', 'capacity.write', capacity.write, 1, 1_000_000)
  }
  const client = tableOf('createDynamodbTable', options)
  const TableName = client.table
  const throughput = capacity && {
    ProvisionedThroughput: {
      ReadCapacityUnits: capacity.read,
      WriteCapacityUnits: capacity.write,
    },
  }
  const index = (name: string, attribute: string) => ({
    IndexName: name,
    KeySchema: [
      { AttributeName: attribute, KeyType: 'HASH' },
      { AttributeName: 'createdAt', KeyType: 'RANGE' },
    ],
    Projection: { ProjectionType: 'ALL' },
    ...throughput,
  })
  const text = (AttributeName: string) => ({ AttributeName, AttributeType: 'S' })
  const signal = AbortSignal.timeout(patience)
  const ask = <Answer>(operation: string, body: object): Promise<Answer> =>
    patiently(signal, () => client.ask<Answer>(operation, { TableName, ...body }, signal))
  const made = await unless('ResourceInUseException', () =>
    ask('CreateTable', {
      AttributeDefinitions: [
        text('jobId'),
        text('status'),
        text('shard'),
        { AttributeName: 'createdAt', AttributeType: 'N' },
      ],
      KeySchema: [{ AttributeName: 'jobId', KeyType: 'HASH' }],
      GlobalSecondaryIndexes: [index(byStatus, 'status'), index(byShard, 'shard')],
      BillingMode: capacity === undefined ? 'PAY_PER_REQUEST' : 'PROVISIONED',
      ...throughput,
    }),
  )
  for (;;) {
    const { Table } = await ask<{ readonly Table: { readonly TableStatus: string } }>(
      'DescribeTable',
      {},
    )
    if (Table.TableStatus === 'ACTIVE') break
    await wait(500, undefined, { signal })
  }
  // It is refused where it is on already.
  await unless('ValidationException', () =>
    ask('UpdateTimeToLive', {
      TimeToLiveSpecification: { AttributeName: 'expiresAt', Enabled: true },
    }),
  )
  return made
}

/** Answers false when DynamoDB refuses for this reason. */
async function unless(kind: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (error instanceof DynamoError && error.kind === kind) return false
    throw error
  }
}

async function patiently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (let pause = 100; ; pause *= 2) {
    try {
      return await ask()
    } catch (error) {
      if (!isPassing(error) || pause > 2_000) throw error
      await wait(pause, undefined, { signal })
    }
  }
}
