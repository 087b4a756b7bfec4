#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { AwsClient } from 'aws4fetch'
import { createDynamodbTable } from './create-table.ts'
import { regionOf } from './region.ts'

const usage = `tidemark-dynamodb create-table [options]

Makes the table of a store, where it is not there yet.

  --table <name>      defaults to tidemark-states
  --region <region>   defaults to AWS_REGION, AWS_DEFAULT_REGION or the profile in ~/.aws/config
  --endpoint <url>    of another endpoint than the region's
  --read <units>      provisioned capacity; with --write. Defaults to on-demand
  --write <units>

It signs with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.`

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}

async function main(args: string[]): Promise<number> {
  const option = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      table: option,
      region: option,
      endpoint: option,
      read: option,
      write: option,
      help: { type: 'boolean' },
    },
  })
  if (values.help === true || positionals.join(' ') !== 'create-table') {
    console.log(usage)
    return values.help === true ? 0 : 2
  }
  const { table = 'tidemark-states', endpoint, read, write } = values
  const region = values.region ?? regionOf()
  const { env } = process
  const accessKeyId = env['AWS_ACCESS_KEY_ID']
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY']
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    console.error('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set')
    return 1
  }
  const session = env['AWS_SESSION_TOKEN']
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(session === undefined ? {} : { sessionToken: session }),
    service: 'dynamodb',
    region,
    retries: 0,
  })
  const provisioned = read !== undefined || write !== undefined
  const made = await createDynamodbTable({
    client,
    table,
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(provisioned ? { capacity: { read: Number(read), write: Number(write) } } : {}),
  })
  console.log(`${table} in ${region}: ${made ? 'made' : 'is there already'}`)
  return 0
}
