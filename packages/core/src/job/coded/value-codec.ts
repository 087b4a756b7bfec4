import { rejectUnknownOptions, requireBoolean } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Which value something is: bound into what an encrypting codec writes, so that it is read nowhere else. */
export interface CodedPlace {
  /** For instance `01a20068-…/step/charge`. */
  readonly key: string
  /** Rises with each writing of the value; 0 where it is written once. */
  readonly version: number
}

/**
 * What makes texts of values and reads them again: compressed, encrypted, as the application likes. `pipeline({ … })` of
 * `@tidemark/stores/codecs` is one.
 *
 * What must hold: `decode` answers what `encode` was given, for the same place, for as long as rows have it. It is given
 * plain JSON, `{"json": …, "meta": …}` as superjson writes it, for what was stored without it.
 */
export interface ValueCodec {
  /** Whatever it throws fails the attempt whose value it is. */
  encode(value: unknown, place: CodedPlace): string | Promise<string>
  /** Throws for what is not what was written, or whose key is missing. */
  decode(body: string, place: CodedPlace): unknown
  /** Whether a text is as `encode` would write it now, or must be rewritten. Defaults to: it must. */
  readonly isCurrent?: (body: string, place: CodedPlace) => boolean
}

/** How values of jobs are stored. */
export interface JobsOptions {
  /**
   * What states, variables, and outputs of steps and jobs pass on their way to Tidemark's tables. Give it to every
   * process that runs jobs or asks for results. Defaults to none: they are plain JSON.
   */
  readonly codec?: ValueCodec
  /**
   * Whether values are written with the codec. False: they are read with it, and written plain. So a codec is brought
   * into processes that run, first to read and then to write, and out again. Defaults to true.
   */
  readonly write?: boolean
  /**
   * Whether plain values are read: those from before there was a codec. False, once all were rewritten: whoever can write
   * to the database cannot put a plain value in the place of an encrypted one. Defaults to true.
   */
  readonly acceptPlain?: boolean
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkJobsOptions(options: JobsOptions): void {
  const where = 'defineApp: jobs'
  rejectUnknownOptions(where, options, ['codec', 'write', 'acceptPlain'])
  for (const option of ['write', 'acceptPlain'] as const) {
    if (options[option] !== undefined) requireBoolean(where, option, options[option])
  }
  const { codec } = options
  if (codec === undefined) return
  for (const method of ['encode', 'decode'] as const) {
    if (typeof (codec as Partial<ValueCodec> | null)?.[method] === 'function') continue
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: the codec has no ${method}()`, {
      hint: 'For instance `pipeline({ keys })` of @tidemark/stores/codecs.',
      details: { option: 'codec', method },
    })
  }
}
