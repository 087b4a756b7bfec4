/** Turns the payload of one version into that of the next. */
// The parameter is `never` so that users may annotate the shape that they know it had.
export type Upcaster = (payload: never) => unknown

/** For each earlier version, what turns its payload into that of the next version. */
export type UpcasterChain = Readonly<Record<number, Upcaster>>

/**
 * What each upcaster of a chain must answer: what the next one takes, and the last one what the schema reads. Intersect the
 * type of a chain with it, and one that forgets a field does not compile.
 */
export type Upcasting<Chain, Payload> = {
  readonly [Version in keyof Chain]: (
    payload: never,
  ) => number extends Version ? unknown : Next<Chain, Version, Payload>
}

type Next<Chain, Version, Payload> =
  After<Version> extends keyof Chain
    ? Chain[After<Version>] extends (payload: infer Old) => unknown
      ? Old
      : unknown
    : Readable<Payload>

/** What a schema reads, as a program has it, or as the plain JSON that an SQL publisher wrote: that is converted. */
type Readable<Value> = Value extends bigint
  ? Value | string | number
  : Value extends Date
    ? Value | string
    : Value extends
          | string
          | number
          | boolean
          | null
          | undefined
          | ReadonlyMap<unknown, unknown>
          | ReadonlySet<unknown>
      ? Value
      : Value extends (...given: never) => unknown
        ? Value
        : { readonly [Key in keyof Value]: Readable<Value[Key]> }

type After<Version> = Version extends number ? [...Counted<Version>, unknown]['length'] : never

/** A tuple of so many: the compiler counts in no other way. Nobody writes a chain of hundreds. */
type Counted<
  Length extends number,
  Tuple extends readonly unknown[] = [],
> = Tuple['length'] extends Length
  ? Tuple
  : Tuple['length'] extends 500
    ? Tuple
    : Counted<Length, readonly [...Tuple, unknown]>
