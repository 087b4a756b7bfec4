/** What happens to one request: before anything is done, or after it was done. */
export type Fault = (done: () => Promise<Response>) => Promise<Response>

/** A fault in which nothing is done, and the server answers so. */
export const answered =
  (status: number, text: string): Fault =>
  async () =>
    new Response(text, { status })

const gone: Fault = async () => {
  throw new TypeError('fetch failed')
}

/** What may become of any request to any server. */
export const networkFaults: Readonly<Record<string, Fault>> = {
  'the connection is refused': gone,
  'its answer is lost': async (done) => {
    await done()
    return gone(done)
  },
  'it is answered 429 by something in between': answered(429, '<html>'),
  'it is answered 503 by something in between': answered(503, '<html>'),
  'its answer breaks off': async (done) => {
    const text = await (await done()).text()
    const half = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)))
        controller.error(new TypeError('terminated'))
      },
    })
    return new Response(half)
  },
}
