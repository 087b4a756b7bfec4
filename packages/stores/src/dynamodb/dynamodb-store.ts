import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { requireText } from '../opened/checked.ts'
import { openStore, storeOptions, type StoreOptions } from '../opened/open-store.ts'
import type { SigningClient } from '../s3/bucket.ts'
import { DynamoBackend } from './dynamodb-backend.ts'
import { regionOf } from './region.ts'
import { TableClient } from './table-client.ts'

/** Which table, and how it is reached. */
export interface TableOptions {
  /** What signs and sends requests: an `AwsClient` of `aws4fetch`. */
  readonly client: SigningClient
  /** Defaults to `tidemark-states`. */
  readonly table?: string
  /** Defaults to what AWS's own tools would use: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile in `~/.aws/config`. */
  readonly region?: string
  /** The URL of another endpoint than the region's: `http://localhost:8000`. */
  readonly endpoint?: string
}

/** Where in DynamoDB states are kept. */
export interface DynamodbStoreOptions extends StoreOptions, TableOptions {
  /** Keeps the states of several stores in one table apart. Defaults to none: the key is the `jobId` as it is. */
  readonly name?: string
}

/**
 * A store in DynamoDB, in a table that {@link createDynamodbTable} has made. It goes by the clock of this process.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { dynamodbStore } from '@tidemark/stores/dynamodb'
 * import { AwsClient } from 'aws4fetch'
 *
 * const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
 * const client = new AwsClient({ ...secrets, service: 'dynamodb', region: 'eu-central-1', retries: 0 })
 * await using store = dynamodbStore({ client, region: 'eu-central-1' })
 * await store.put('import-1', { value: { rows: 500 }, status: 'running' })
 * ```
 */
export function dynamodbStore<Value = unknown>(options: DynamodbStoreOptions): StateStore<Value> {
  rejectUnknownOptions('dynamodbStore', options, [
    'client',
    'table',
    'region',
    'endpoint',
    'name',
    ...storeOptions,
  ])
  const { client: _, table: __, region: ___, endpoint: ____, name = '', ...rest } = options
  if (name !== '') requireText('dynamodbStore', 'name', name, 100)
  if (name.includes(' ')) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'dynamodbStore: "name" has a blank in it')
  }
  return openStore<Value>(new DynamoBackend(tableOf('dynamodbStore', options), name), rest)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function tableOf(where: string, options: TableOptions): TableClient {
  const { client, table = 'tidemark-states', endpoint } = options
  if (typeof (client as Partial<SigningClient> | undefined)?.fetch !== 'function') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "client" has no fetch()`, {
      hint: 'Give an `AwsClient` of aws4fetch, with `service: "dynamodb"`.',
      details: { option: 'client' },
    })
  }
  requireText(where, 'table', table, 255)
  const url = endpoint ?? `https://dynamodb.${options.region ?? regionOf()}.amazonaws.com/`
  if (!URL.canParse(url)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "endpoint" is not a URL`)
  }
  return new TableClient(client, url, table)
}
