/** What signs and sends requests: an `AwsClient` of aws4fetch, or a function of yours around any other. */
export interface SigningClient {
  fetch(url: string, init: RequestInit): Promise<Response>
}

/** An answer of the object store that is not what was asked for. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError'
  readonly status: number
  /** For instance `SlowDown`; undefined where the answer has none. */
  readonly code: string | undefined

  constructor(what: string, status: number, text: string) {
    const [, code] = /<Code>([^<]*)<\/Code>/u.exec(text) ?? []
    super(`${what}: ${status}${code === undefined ? '' : ` ${code}`}`)
    this.status = status
    this.code = code
  }
}

/** Whether it may go better another time: a lost connection, throttling, somebody who writes at this moment. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof ObjectStoreError)) return true
  const { status, code } = error
  // 501: what the store does not know, it does not learn.
  if (status >= 500) return status !== 501
  return status === 408 || status === 409 || status === 429 || code === 'RequestTimeout'
}

/** An object with what it is recognised by. */
export interface StoredObject {
  readonly text: string
  readonly etag: string
}

/** What a request takes besides the name of its object. */
export interface RequestParts {
  /** What comes after the question mark. */
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

/** The few requests of S3 that a store needs. */
export class Bucket {
  readonly #client: SigningClient
  readonly #url: string
  // Most take the tag in quotation marks, as HTTP has it. Ceph wants it without.
  #quotes = true
  #deletesConditionally: boolean | undefined

  /** @param url - of the bucket, without a slash at the end. */
  constructor(client: SigningClient, url: string) {
    this.#client = client
    this.#url = url
  }

  /** What there is to say of an object without reading it. */
  async head(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly etag: string; readonly headers: Headers } | undefined> {
    const answer = await this.#send('HEAD', name, signal)
    await answer.arrayBuffer()
    if (answer.status === 404) return undefined
    if (!answer.ok) throw new ObjectStoreError(`HEAD ${name}`, answer.status, '')
    return { etag: (answer.headers.get('etag') ?? '').replaceAll('"', ''), headers: answer.headers }
  }

  /**
   * Any other request; the name '' is the bucket's own.
   *
   * @returns the answer, whose body has not been read; undefined: there is no such object.
   * @throws ObjectStoreError.
   */
  async request(
    method: string,
    name: string,
    signal: AbortSignal,
    { query, headers = {}, body }: RequestParts = {},
  ): Promise<Response | undefined> {
    const answer = await this.#send(method, name, signal, body, headers, query)
    if (answer.status === 404) {
      await expectNoSuchKey(name, answer)
      return undefined
    }
    if (!answer.ok) throw await failure(`${method} ${name}`, answer)
    return answer
  }

  async get(name: string, signal: AbortSignal): Promise<StoredObject | undefined> {
    const answer = await this.#send('GET', name, signal)
    if (answer.status === 404) {
      await expectNoSuchKey(name, answer)
      return undefined
    }
    if (!answer.ok) throw await failure(`GET ${name}`, answer)
    const etag = (answer.headers.get('etag') ?? '').replaceAll('"', '')
    return { text: await answer.text(), etag }
  }

  /**
   * Writes an object if it is still the one with this tag.
   *
   * @param etag - undefined: if there is none.
   * @param headers - to be kept with it.
   * @returns whether it was.
   */
  async replace(
    name: string,
    text: string,
    etag: string | undefined,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<boolean> {
    const quoted = this.#quotes
    const condition =
      etag === undefined ? { 'if-none-match': '*' } : { 'if-match': quoted ? `"${etag}"` : etag }
    const answer = await this.#send('PUT', name, signal, text, { ...headers, ...condition })
    if (answer.ok) {
      await answer.arrayBuffer()
      return true
    }
    const error = await failure(`PUT ${name}`, answer)
    // 409: somebody else writes at this moment; 404: it was removed. A bucket that is not there is another matter.
    if (![404, 409, 412].includes(answer.status) || error.code === 'NoSuchBucket') throw error
    if (etag !== undefined && answer.status === 412)
      await this.#learnQuotes(name, etag, quoted, signal)
    return false
  }

  async put(name: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#send('PUT', name, signal, '')
    if (!answer.ok) throw await failure(`PUT ${name}`, answer)
    await answer.arrayBuffer()
  }

  /** Removes what nobody judges by. */
  async remove(name: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#send('DELETE', name, signal)
    if (!answer.ok && answer.status !== 404) throw await failure(`DELETE ${name}`, answer)
    await answer.arrayBuffer()
  }

  /**
   * Removes an object if it is still the one with this tag, where the store can do that.
   *
   * @param probe - the name of an object that may be written to find out.
   */
  async removeIf(name: string, etag: string, probe: string, signal: AbortSignal): Promise<void> {
    this.#deletesConditionally ??= await this.#canDeleteConditionally(probe, signal)
    if (!this.#deletesConditionally) return
    const answer = await this.#send('DELETE', name, signal, undefined, { 'if-match': `"${etag}"` })
    // 412: it is another one by now, which stays.
    if (!answer.ok && answer.status !== 404 && answer.status !== 412) {
      throw await failure(`DELETE ${name}`, answer)
    }
    await answer.arrayBuffer()
  }

  /** Names that begin with `prefix`, after one of them, in their order. */
  async names(
    prefix: string,
    after: string,
    most: number,
    signal: AbortSignal,
  ): Promise<{ names: string[]; more: boolean }> {
    const query = new URLSearchParams({
      'list-type': '2',
      'encoding-type': 'url',
      prefix,
      'max-keys': String(most),
      ...(after === '' ? {} : { 'start-after': after }),
    })
    const answer = await this.#client.fetch(`${this.#url}?${query.toString()}`, {
      method: 'GET',
      signal,
    })
    if (!answer.ok) throw await failure('LIST', answer)
    const text = await answer.text()
    const names = [...text.matchAll(/<Key>([^<]*)<\/Key>/gu)].map(([, name]) =>
      decodeURIComponent((name as string).replaceAll('+', ' ')),
    )
    return { names, more: text.includes('<IsTruncated>true</IsTruncated>') }
  }

  #send(
    method: string,
    name: string,
    signal: AbortSignal,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>> = {},
    query?: string,
  ): Promise<Response> {
    const path = name === '' ? '' : `/${name.split('/').map(partOf).join('/')}`
    const url = `${this.#url}${path}${query === undefined ? '' : `?${query}`}`
    return this.#client.fetch(url, {
      method,
      signal,
      headers,
      ...(body === undefined ? {} : { body }),
    })
  }

  /**
   * Refused although it is the same: then it is the quotation marks. What was sent decides, not what is set by now:
   * several requests learn it at once.
   */
  async #learnQuotes(
    name: string,
    etag: string,
    quoted: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const now = await this.get(name, signal)
    if (now?.etag === etag) this.#quotes = !quoted
  }

  /** Whether a removal that must not hold does not. */
  async #canDeleteConditionally(probe: string, signal: AbortSignal): Promise<boolean> {
    await this.put(probe, signal)
    const other = { 'if-match': '"00000000000000000000000000000000"' }
    const answer = await this.#send('DELETE', probe, signal, undefined, other)
    const refused = await failure(`DELETE ${probe}`, answer)
    // Turned away, it has said nothing of what it can do.
    if (!answer.ok && isPassing(refused)) throw refused
    const spared = answer.status === 412 && (await this.get(probe, signal)) !== undefined
    if (spared) await this.remove(probe, signal)
    return spared
  }
}

/** As signatures have it: also what a URL would take as it is. */
function partOf(part: string): string {
  return encodeURIComponent(part).replaceAll(
    /[!'()*]/gu,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** A bucket that is not there is another matter than an object that is not. */
async function expectNoSuchKey(name: string, answer: Response): Promise<void> {
  const text = await answer.text()
  if (text.includes('NoSuchBucket')) throw new ObjectStoreError(`GET ${name}`, 404, text)
}

async function failure(what: string, answer: Response): Promise<ObjectStoreError> {
  return new ObjectStoreError(what, answer.status, await answer.text())
}
