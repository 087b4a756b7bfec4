import { SuperJSON } from 'superjson'

// An instance of our own: what an application registers with superjson's shared one changes nothing that is stored.
export const exactJson: SuperJSON = new SuperJSON()

type Made = new (...values: never[]) => object

const byName = (classes: readonly Made[]): ReadonlyMap<string, Made> =>
  new Map(classes.map((made) => [made.name, made]))

// The standard ones: what is made of a class that extends one of them would come back as one of these.
const errorClasses = byName([
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
  AggregateError,
])

const byteClasses = byName([
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
])

/** The standard class that an error is an instance of, and not of a class that extends it. */
export function errorClassOf(value: object): string | undefined {
  return value instanceof Error ? nameOf(errorClasses, value) : undefined
}

/** The class that bytes are an instance of: Buffer, a typed array, DataView or ArrayBuffer. */
export function bytesClassOf(value: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === ArrayBuffer.prototype) return 'ArrayBuffer'
  if (prototype === Buffer.prototype) return 'Buffer'
  return ArrayBuffer.isView(value) ? nameOf(byteClasses, value) : undefined
}

function nameOf(classes: ReadonlyMap<string, Made>, value: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  for (const [name, made] of classes) if (made.prototype === prototype) return name
  return undefined
}

// As their bytes: a list of numbers has no NaN, no bigint and no view, and takes four times as much room.
exactJson.registerCustom<ArrayBufferView | ArrayBuffer, { is: string; base64: string }>(
  {
    isApplicable: (value): value is ArrayBufferView | ArrayBuffer =>
      typeof value === 'object' && value !== null && bytesClassOf(value) !== undefined,
    serialize: (value) => ({
      is: bytesClassOf(value) as string,
      base64: (ArrayBuffer.isView(value)
        ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
        : Buffer.from(value)
      ).toString('base64'),
    }),
    deserialize: ({ is, base64 }) => {
      const bytes = Buffer.from(base64, 'base64')
      if (is === 'Buffer') return bytes
      // A copy, that nothing else is in: Buffers of this size share one.
      const own = Uint8Array.from(bytes).buffer
      if (is === 'ArrayBuffer') return own
      return Reflect.construct(byteClasses.get(is) as Made, [own]) as ArrayBufferView
    },
  },
  'bytes',
)

interface StoredError {
  readonly is: string
  readonly message: string
  /** What it has of its own, `code`, `cause` and `errors` among it. */
  readonly own: Record<string, unknown>
}

const hidden = ['name', 'cause', 'errors']

exactJson.registerCustom<Error, never>(
  {
    isApplicable: (value): value is Error =>
      typeof value === 'object' && value !== null && errorClassOf(value) !== undefined,
    serialize: (error) => {
      const stored: StoredError = {
        is: errorClassOf(error) as string,
        message: error.message,
        own: ownOf(error),
      }
      // superjson walks into what an error becomes, and so finds what JSON cannot say within it.
      return stored as never
    },
    deserialize: (stored) => {
      const { is, message, own } = stored as StoredError
      const given = is === 'AggregateError' ? [own['errors'], message] : [message]
      const error = Reflect.construct(errorClasses.get(is) as Made, given) as Error
      for (const [key, value] of Object.entries(own)) {
        const enumerable = !hidden.includes(key)
        Object.defineProperty(error, key, {
          value,
          enumerable,
          writable: true,
          configurable: true,
        })
      }
      return error
    },
  },
  'error',
)

/** The properties of an error beside its message and its stack. */
export function ownOf(error: Error): Record<string, unknown> {
  const own: Record<string, unknown> = Object.fromEntries(Object.entries(error))
  for (const key of hidden) if (Object.hasOwn(error, key)) own[key] = Reflect.get(error, key)
  delete own['stack']
  return own
}
