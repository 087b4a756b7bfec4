/** The headers of a stream of server-sent events. */
export const streamHeaders: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  'x-content-type-options': 'nosniff',
  // nginx keeps answers back until they are over unless it is told otherwise.
  'x-accel-buffering': 'no',
}

/**
 * Answers with what `chunks` yields, for as long as the client reads. Nothing begins before somebody reads, nor goes on
 * after the client has gone.
 *
 * @param signal - ends it from this side.
 * @param onError - told when it breaks.
 * @param chunks - is given a signal that aborts when either side has ended it.
 */
export function eventStream(
  request: Request,
  signal: AbortSignal | undefined,
  onError: (error: unknown) => void,
  chunks: (ended: AbortSignal) => AsyncGenerator<string, undefined>,
): Response {
  const gone = new AbortController()
  const ended = AbortSignal.any([
    gone.signal,
    request.signal,
    ...(signal === undefined ? [] : [signal]),
  ])
  const encoder = new TextEncoder()
  const texts = chunks(ended)
  // Some servers only abort the request of a client that goes, and read no further.
  ended.addEventListener('abort', () => void texts.return(undefined), { once: true })
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await texts.next()
          if (done === true) controller.close()
          else controller.enqueue(encoder.encode(value))
        } catch (error) {
          if (!ended.aborted) onError(error)
          controller.error(error)
        }
      },
      cancel: async () => {
        gone.abort()
        await texts.return(undefined)
      },
    },
    // An answer whose body nobody reads begins nothing.
    { highWaterMark: 0 },
  )
  return new Response(body, { headers: streamHeaders })
}
