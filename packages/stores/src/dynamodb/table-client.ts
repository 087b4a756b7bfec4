import type { SigningClient } from '../s3/bucket.ts'

/** A value as DynamoDB's protocol has it. */
export type Attribute =
  | { readonly S: string }
  | { readonly N: string }
  | { readonly NULL: true }
  | { readonly BOOL: boolean }

/** An item as DynamoDB's protocol has it. */
export type Item = Readonly<Record<string, Attribute>>

/** An answer of DynamoDB that is not what was asked for. */
export class DynamoError extends Error {
  override readonly name = 'DynamoError'
  /** For instance `ConditionalCheckFailedException`. */
  readonly kind: string
  readonly status: number
  /** What is there, where a condition did not hold. */
  readonly item: Item | undefined

  constructor(kind: string, status: number, message: string, item?: Item) {
    super(`${kind}: ${message}`)
    this.kind = kind
    this.status = status
    this.item = item
  }
}

const passing = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'LimitExceededException',
  'InternalServerError',
  'ServiceUnavailable',
  'TransactionInProgressException',
  // Of others who write the same item in a transaction, or in another region.
  'TransactionConflictException',
  'ReplicatedWriteConflictException',
])

/** The few operations of DynamoDB that a store needs, on one table. */
export class TableClient {
  readonly table: string
  readonly #client: SigningClient
  readonly #endpoint: string

  constructor(client: SigningClient, endpoint: string, table: string) {
    this.#client = client
    this.#endpoint = endpoint
    this.table = table
  }

  /** @throws DynamoError. */
  async ask<Answer>(operation: string, body: object, signal: AbortSignal): Promise<Answer> {
    const answer = await this.#client.fetch(this.#endpoint, {
      method: 'POST',
      signal,
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `DynamoDB_20120810.${operation}`,
      },
      body: JSON.stringify(body),
    })
    const text = await answer.text()
    if (answer.ok) return JSON.parse(text) as Answer
    const { __type: type, message, Message, Item: item } = readProblem(text)
    const kind = type?.split('#').at(-1) ?? `HTTP ${answer.status}`
    throw new DynamoError(kind, answer.status, message ?? Message ?? text.slice(0, 200), item)
  }
}

/** Whether it may go better another time. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof DynamoError)) return true
  // Without a kind it is something in between that answers.
  return error.status >= 500 || [408, 429].includes(error.status) || passing.has(error.kind)
}

interface Problem {
  readonly __type?: string
  readonly message?: string
  readonly Message?: string
  readonly Item?: Item
}

function readProblem(text: string): Problem {
  try {
    return JSON.parse(text) as Problem
  } catch {
    // A proxy's page, say.
    return {}
  }
}
