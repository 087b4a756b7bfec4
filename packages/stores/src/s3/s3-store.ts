import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { requireText } from '../opened/checked.ts'
import { openStore, storeOptions, type StoreOptions } from '../opened/open-store.ts'
import { Bucket, type SigningClient } from './bucket.ts'
import { S3Backend } from './s3-backend.ts'

/** Where in an object store states are kept. */
export interface S3StoreOptions extends StoreOptions {
  /** What signs and sends requests: an `AwsClient` of `aws4fetch`. */
  readonly client: SigningClient
  /** The URL of the bucket: `https://states.s3.eu-central-1.amazonaws.com`, or `http://localhost:7480/states`. */
  readonly bucket: string
  /** What the names of all objects begin with. Defaults to `tidemark/`. */
  readonly prefix?: string
}

/**
 * A store in S3, or in what speaks its protocol and has conditional writes. It goes by the clock of this process.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { s3Store } from '@tidemark/stores/s3'
 * import { AwsClient } from 'aws4fetch'
 *
 * const client = new AwsClient({
 *   accessKeyId: process.env['AWS_ACCESS_KEY_ID'] ?? '',
 *   secretAccessKey: process.env['AWS_SECRET_ACCESS_KEY'] ?? '',
 *   service: 's3',
 *   region: 'eu-central-1',
 *   retries: 0,
 * })
 * await using store = s3Store({ client, bucket: 'https://states.s3.eu-central-1.amazonaws.com' })
 * await store.put('import-1', { value: { rows: 500 }, status: 'running' })
 * ```
 */
export function s3Store<Value = unknown>(options: S3StoreOptions): StateStore<Value> {
  rejectUnknownOptions('s3Store', options, ['client', 'bucket', 'prefix', ...storeOptions])
  const { client, bucket, prefix = 'tidemark/', ...rest } = options
  if (typeof (client as Partial<SigningClient> | undefined)?.fetch !== 'function') {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 's3Store: "client" has no fetch()', {
      hint: 'Give an `AwsClient` of aws4fetch, with `service: "s3"`.',
      details: { option: 'client' },
    })
  }
  if (!URL.canParse(bucket)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 's3Store: "bucket" is not a URL', {
      details: { option: 'bucket' },
    })
  }
  requireText('s3Store', 'prefix', prefix, 100)
  const url = bucket.endsWith('/') ? bucket.slice(0, -1) : bucket
  return openStore<Value>(new S3Backend(new Bucket(client, url), prefix), rest)
}
