import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import {
  decodeTexts,
  decodeValue,
  encodeValue,
  type EncodedValue,
} from '../../event/encoded/codec.ts'
import type { CodedPlace, JobsOptions, ValueCodec } from './value-codec.ts'

/** Which value of which job: `output`, `step/charge`, `variable/source`, `state`. */
export interface ValueOf {
  readonly job: string
  readonly part: string
  /** As {@link CodedPlace.version}. Defaults to 0. */
  readonly version?: number
}

// superjson refuses to read a custom type that nobody has registered, so a process that knows nothing of codecs fails on
// one. No value of an application has these notes.
const codedType = 'tidemark.coded'
const codedMeta = JSON.stringify({ values: [['custom', codedType]] })

/** What rows have of values, on their way through the application's codec. */
export class JobValues {
  readonly #codec: ValueCodec | undefined
  readonly #write: boolean
  readonly #acceptPlain: boolean

  constructor({ codec, write = true, acceptPlain = true }: JobsOptions = {}) {
    this.#codec = codec
    this.#write = write
    this.#acceptPlain = acceptPlain
  }

  /** Whether values pass a codec when they are written. */
  get codes(): boolean {
    return this.#codec !== undefined && this.#write
  }

  /**
   * What a row gets of a value. At once where there is no codec: most applications have none.
   *
   * @throws whatever the codec throws, and TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE for a text that jsonb refuses.
   */
  encode(of: ValueOf, value: EncodedValue): EncodedValue | Promise<EncodedValue> {
    const codec = this.#codec
    if (codec === undefined || !this.#write) return value
    return coded(codec, of, value)
  }

  /**
   * The value that a row has. At once where no codec has written it.
   *
   * @throws TidemarkError TIDEMARK_VALUE_UNREADABLE.
   */
  decode(of: ValueOf, json: unknown, meta: unknown): unknown {
    if (isCoded(meta)) return this.#decoded(of, json)
    if (!this.#acceptPlain && this.#codec !== undefined) throw unreadable(of, 'it is not encoded')
    return decodeValue(json, meta)
  }

  /**
   * What is to be written in the place of what a row has, for it to be as values are written now; undefined: it is so.
   *
   * @throws TidemarkError TIDEMARK_VALUE_UNREADABLE, and whatever the codec throws.
   */
  async renewed(of: ValueOf, json: unknown, meta: unknown): Promise<EncodedValue | undefined> {
    const was = isCoded(meta)
    if (was && this.codes && this.#codec?.isCurrent?.(json as string, placeOf(of)) === true) {
      return undefined
    }
    if (!was && !this.codes) return undefined
    const value = was ? await this.#decoded(of, json) : decodeValue(json, meta)
    const plain = encodeValue(nameOf(of), value)
    const next = await this.encode(of, plain)
    return was || next !== plain ? next : undefined
  }

  async #decoded(of: ValueOf, body: unknown): Promise<unknown> {
    if (this.#codec === undefined) {
      throw unreadable(of, 'a codec has written it, and this process has none')
    }
    try {
      return await this.#codec.decode(body as string, placeOf(of))
    } catch (cause) {
      throw unreadable(of, messageOf(cause), cause)
    }
  }
}

/** Whether a codec has written what a row has. */
export function isCoded(meta: unknown): boolean {
  const values = (meta as { values?: unknown } | null | undefined)?.values
  if (!Array.isArray(values)) return false
  const [first] = values as readonly unknown[]
  return Array.isArray(first) && first[0] === 'custom' && first[1] === codedType
}

async function coded(codec: ValueCodec, of: ValueOf, value: EncodedValue): Promise<EncodedValue> {
  const body = await codec.encode(decodeTexts(value), placeOf(of))
  if (typeof body !== 'string') {
    throw new TidemarkError(
      'TIDEMARK_PAYLOAD_NOT_STORABLE',
      `${nameOf(of)} cannot be stored: the codec answered no text`,
      { details: { ...of } },
    )
  }
  // What it has left as it is stays plain: SQL reads it.
  if (body === plainBody(value)) return value
  const { json } = encodeValue(nameOf(of), body)
  return { json, meta: codedMeta }
}

function plainBody({ json, meta }: EncodedValue): string {
  return meta === null ? `{"json":${json}}` : `{"json":${json},"meta":${meta}}`
}

function placeOf({ job, part, version = 0 }: ValueOf): CodedPlace {
  return { key: `${job}/${part}`, version }
}

function nameOf({ job, part }: ValueOf): string {
  const [kind = '', ...name] = part.split('/')
  return name.length === 0
    ? `the ${kind} of job ${job}`
    : `the ${kind} ${JSON.stringify(name.join('/'))} of job ${job}`
}

function unreadable(of: ValueOf, problem: string, cause?: unknown): TidemarkError {
  const { job, part } = of
  return new TidemarkError(
    'TIDEMARK_VALUE_UNREADABLE',
    `${nameOf(of)} cannot be read: ${problem}`,
    { details: { id: job, part }, ...(cause === undefined ? {} : { cause }) },
  )
}
