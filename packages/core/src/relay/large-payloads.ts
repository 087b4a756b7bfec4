import { createHash } from 'node:crypto'
import { rejectUnknownOptions, requireWhole } from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { RelayedMessage } from './message.ts'

/** An object store: `s3({ … })` or `memoryContexts()` of `@tidemark/stores/context` is one. */
export interface PayloadObjects {
  put(
    name: string,
    text: string,
    options: { readonly version: number; readonly sha256: string; readonly signal: AbortSignal },
  ): Promise<unknown>
  get(name: string, options: { readonly signal: AbortSignal }): Promise<string | undefined>
}

/** Where payloads go that are too large for a broker's messages. Relay and intake are given the same objects. */
export interface LargePayloadOptions {
  readonly objects: PayloadObjects
  /** Payloads of more bytes than this, with superjson's notes, are put there. Defaults to 262,144 (256 KiB). */
  readonly above?: number
  /** What the names of the objects begin with. Defaults to `payloads/`. */
  readonly prefix?: string
}

/**
 * Puts large payloads into an object store and a reference into the message (a claim check). The object is there before
 * the message is sent; its name follows from the event and its content, so sending again writes the same.
 */
export class LargePayloads {
  readonly #objects: PayloadObjects
  readonly #above: number
  readonly #prefix: string

  /** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
  constructor(where: string, options: LargePayloadOptions) {
    rejectUnknownOptions(`${where}: largePayloads`, options, ['objects', 'above', 'prefix'])
    const { objects, above = 262_144, prefix = 'payloads/' } = options
    if (typeof objects?.put !== 'function' || typeof objects.get !== 'function') {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `${where}: \`largePayloads\` needs \`objects\`, an object store`,
        { hint: 'For instance `s3({ … })` of @tidemark/stores/context.' },
      )
    }
    requireWhole(`${where}: largePayloads`, 'above', above, 0, 2_147_483_647)
    this.#objects = objects
    this.#above = above
    this.#prefix = prefix
  }

  /**
   * The message as it is sent: with a reference instead of a payload that is too large.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE.
   */
  async leave<Message extends RelayedMessage>(
    message: Message,
    signal: AbortSignal,
  ): Promise<Message> {
    const { payload, payloadMeta, install, sequence } = message
    if (Buffer.byteLength(payload) + Buffer.byteLength(payloadMeta ?? '') <= this.#above) {
      return message
    }
    const text = `{"data":${payload},"meta":${payloadMeta ?? 'null'}}`
    const sha256 = sha256Of(text)
    const object = `${this.#prefix}${install}/${sequence}-${sha256.slice(0, 16)}`
    await available(this.#objects.put(object, text, { version: 1, sha256, signal }))
    return { ...message, payload: 'null', payloadMeta: null, claim: { object, sha256 } }
  }

  /**
   * The message with its payload.
   *
   * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_INVALID when the object is gone or another one;
   * TIDEMARK_BROKER_UNAVAILABLE.
   */
  async fetch<Message extends RelayedMessage>(
    message: Message,
    signal: AbortSignal,
  ): Promise<Message> {
    const { claim, ...rest } = message
    if (claim === undefined) return message
    const text = await available(this.#objects.get(claim.object, { signal }))
    if (text === undefined) throw invalid(message, `nothing is at ${claim.object}`)
    if (sha256Of(text) !== claim.sha256) throw invalid(message, `${claim.object} is another`)
    const { data, meta } = JSON.parse(text) as { data: unknown; meta: unknown }
    return {
      ...(rest as unknown as Message),
      payload: JSON.stringify(data),
      payloadMeta: meta === null ? null : JSON.stringify(meta),
    }
  }
}

/** Fetches what a message refers to, for whoever was given an object store or not. */
export async function withPayload(
  message: RelayedMessage,
  payloads: LargePayloads | undefined,
  signal: AbortSignal,
): Promise<RelayedMessage> {
  if (message.claim === undefined) return message
  if (payloads === undefined) {
    throw invalid(message, 'it is in an object store, and `largePayloads` does not say in which')
  }
  return payloads.fetch(message, signal)
}

async function available<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError(
      'TIDEMARK_BROKER_UNAVAILABLE',
      `the object store of large payloads cannot be used: ${reason}`,
      { cause },
    )
  }
}

function invalid({ sequence, type, claim }: RelayedMessage, reason: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_INVALID',
    `the payload of event ${sequence} (${type}) cannot be read: ${reason}`,
    { details: { sequence, type, object: claim?.object } },
  )
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
