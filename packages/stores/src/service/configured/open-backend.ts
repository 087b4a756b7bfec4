import { TidemarkError } from 'tidemark'
import type { StateStore } from '../../contract/state-store.ts'
import type { StoreOptions } from '../../opened/open-store.ts'
import type { SigningClient } from '../../s3/bucket.ts'
import { missing } from './read-settings.ts'
import type { ServiceSettings } from './settings.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A store whose client is closed with it. */
export interface OpenedBackend extends AsyncDisposable {
  readonly store: StateStore
}

/**
 * Opens the store that is set, with a client of its own. Packages are loaded only for the backend that is used.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export async function openBackend(
  settings: ServiceSettings,
  env: Environment,
): Promise<OpenedBackend> {
  const { timeout, remember } = settings
  const options: StoreOptions = {
    ...(timeout === undefined ? {} : { timeout: Number(timeout) }),
    ...(remember === undefined ? {} : { remember: Number(remember) }),
  }
  switch (settings.backend ?? 'memory') {
    case 'memory':
      return openMemory(options)
    case 'redis':
      return openRedis(settings, env, options)
    case 'postgres':
      return openPostgres(settings, env, options)
    case 's3':
      return openS3(settings, env, options)
    case 'dynamodb':
      return openDynamodb(settings, env, options)
  }
}

async function openMemory(options: StoreOptions): Promise<OpenedBackend> {
  const { memoryStore } = await import('../../memory/index.ts')
  return closedWith(memoryStore(options), async () => {})
}

async function openRedis(
  { url, prefix }: ServiceSettings,
  env: Environment,
  options: StoreOptions,
): Promise<OpenedBackend> {
  const { redisStore } = await import('../../redis/index.ts')
  const { Redis } = await import('ioredis').catch((cause: unknown) => {
    throw missing('ioredis', 'for the backend redis', cause)
  })
  const client = new Redis(url ?? env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', {
    retryStrategy: (times) => Math.min(50 * times, 1_000),
    // The store repeats by itself, and knows until when. What waits here would be written late.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    // A connection on which nothing comes is made anew.
    socketTimeout: options.timeout ?? 5_000,
  })
  // It connects again by itself; each operation says what is wrong.
  client.on('error', () => {})
  const given = prefix === undefined ? {} : { prefix }
  return closedWith(redisStore({ client, ...given, ...options }), async () => client.disconnect())
}

async function openPostgres(
  { url, schema, name }: ServiceSettings,
  env: Environment,
  options: StoreOptions,
): Promise<OpenedBackend> {
  const { postgresStore } = await import('../../postgres/index.ts')
  const { default: pg } = await import('pg').catch((cause: unknown) => {
    throw missing('pg', 'for the backend postgres', cause)
  })
  const connectionString = url ?? env['DATABASE_URL']
  const database = new pg.Pool({
    ...(connectionString === undefined ? {} : { connectionString }),
    connectionTimeoutMillis: options.timeout ?? 5_000,
    application_name: 'tidemark state',
  })
  // A connection that ends while nobody uses it is no error: the next one is made anew.
  database.on('error', () => {})
  const given = {
    ...(schema === undefined ? {} : { schema }),
    ...(name === undefined ? {} : { name }),
  }
  return closedWith(postgresStore({ database, ...given, ...options }), () => database.end())
}

async function openS3(
  { url, prefix, region }: ServiceSettings,
  env: Environment,
  options: StoreOptions,
): Promise<OpenedBackend> {
  const { s3Store } = await import('../../s3/index.ts')
  if (url === undefined) throw incomplete('s3', 'the URL of a bucket', 'Give `--url`.')
  const where = region ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? 'us-east-1'
  const client = await signing('s3', where, env)
  const given = prefix === undefined ? {} : { prefix }
  return closedWith(s3Store({ client, bucket: url, ...given, ...options }), async () => {})
}

async function openDynamodb(
  { url, table, name, region: given }: ServiceSettings,
  env: Environment,
  options: StoreOptions,
): Promise<OpenedBackend> {
  const { dynamodbStore, regionOf } = await import('../../dynamodb/index.ts')
  const region = given ?? regionOf(env)
  const client = await signing('dynamodb', region, env)
  const store = dynamodbStore({
    client,
    region,
    ...(url === undefined ? {} : { endpoint: url }),
    ...(table === undefined ? {} : { table }),
    ...(name === undefined ? {} : { name }),
    ...options,
  })
  return closedWith(store, async () => {})
}

/** What signs requests with the credentials of the environment. */
async function signing(
  service: 's3' | 'dynamodb',
  region: string,
  env: Environment,
): Promise<SigningClient> {
  const { AwsClient } = await import('aws4fetch').catch((cause: unknown) => {
    throw missing('aws4fetch', `for the backend ${service}`, cause)
  })
  const accessKeyId = env['AWS_ACCESS_KEY_ID']
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY']
  const sessionToken = env['AWS_SESSION_TOKEN']
  // An empty one is refused by the server with a message about signatures, which helps nobody.
  if (!accessKeyId || !secretAccessKey) {
    const hint = 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.'
    throw incomplete(service, 'credentials', hint)
  }
  return new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken ? { sessionToken } : {}),
    service,
    region,
    retries: 0,
  })
}

function incomplete(backend: string, what: string, hint: string): TidemarkError {
  const message = `the backend ${backend} needs ${what}`
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message, { hint })
}

function closedWith(store: StateStore, close: () => Promise<unknown>): OpenedBackend {
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await close()
    },
  }
}
