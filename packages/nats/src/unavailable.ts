import { isTidemarkError, TidemarkError } from 'tidemark'

/** What the broker's trouble is to whoever waits for it. Our own errors stay what they are. */
export function unavailable(stream: string, error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new TidemarkError(
    'TIDEMARK_BROKER_UNAVAILABLE',
    `the stream ${stream} cannot be reached: ${reason}`,
    { cause: error, details: { stream } },
  )
}
