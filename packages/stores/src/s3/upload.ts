import { again } from './again.ts'
import { ObjectStoreError, type Bucket } from './bucket.ts'

// S3 takes no smaller part but the last one, and at most 10,000 of them.
const partSize = 8 * 1024 * 1024
const mostParts = 10_000

/**
 * Writes an object of any size as it comes, with one part of it in memory at a time. The object is there when all of it
 * is, or not at all.
 */
export async function upload(
  bucket: Bucket,
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  { type, signal }: { readonly type: string; readonly signal: AbortSignal },
): Promise<void> {
  const headers = { 'content-type': type }
  let id: string | undefined
  const tags: string[] = []
  try {
    for await (const { bytes, last } of parts(chunks)) {
      if (last && id === undefined) {
        await again(signal, () => bucket.request('PUT', name, signal, { headers, body: bytes }))
        return
      }
      id ??= await begin(bucket, name, headers, signal)
      if (bytes.length > 0) tags.push(await part(bucket, name, id, tags.length + 1, bytes, signal))
    }
    await finish(bucket, name, id as string, tags, signal)
  } catch (error) {
    // What fails here is left to the sweep, as what a killed process leaves.
    if (id !== undefined) await abandon(bucket, name, id).catch(() => {})
    throw error
  }
}

/** Ends the uploads under names that begin with `prefix`. */
export async function abandonAll(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal,
): Promise<void> {
  const query = `uploads&${new URLSearchParams({ 'encoding-type': 'url', prefix }).toString()}`
  const answer = await again(signal, () => bucket.request('GET', '', signal, { query }))
  const text = (await answer?.text()) ?? ''
  for (const [, found = ''] of text.matchAll(/<Upload>([\s\S]*?)<\/Upload>/gu)) {
    const [, key = ''] = /<Key>([^<]*)<\/Key>/u.exec(found) ?? []
    const [, id = ''] = /<UploadId>([^<]*)<\/UploadId>/u.exec(found) ?? []
    const name = decodeURIComponent(key.replaceAll('+', ' '))
    if (name.startsWith(prefix)) await abandon(bucket, name, id, signal)
  }
}

async function begin(
  bucket: Bucket,
  name: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const options = { query: 'uploads=', headers }
  const answer = await again(signal, () => bucket.request('POST', name, signal, options))
  const [, id] = /<UploadId>([^<]*)<\/UploadId>/u.exec((await answer?.text()) ?? '') ?? []
  if (id === undefined) throw new ObjectStoreError(`POST ${name}: no upload was begun`, 500, '')
  return id
}

async function part(
  bucket: Bucket,
  name: string,
  id: string,
  number: number,
  body: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<string> {
  if (number > mostParts) throw new ObjectStoreError(`PUT ${name}: more than 80 GB`, 400, '')
  const query = `partNumber=${number}&uploadId=${encodeURIComponent(id)}`
  const answer = await again(signal, () => bucket.request('PUT', name, signal, { query, body }))
  await answer?.arrayBuffer()
  const tag = answer?.headers.get('etag')
  if (tag === undefined || tag === null) {
    throw new ObjectStoreError(`PUT ${name}: part ${number} was not taken`, 404, '')
  }
  return tag
}

async function finish(
  bucket: Bucket,
  name: string,
  id: string,
  tags: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const listed = tags.map(
    (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`,
  )
  const body = `<CompleteMultipartUpload>${listed.join('')}</CompleteMultipartUpload>`
  const query = `uploadId=${encodeURIComponent(id)}`
  const answer = await again(signal, () => bucket.request('POST', name, signal, { query, body }))
  const text = await answer?.text()
  // The status was sent before the outcome was known. And one that is not there may have been finished by the request
  // whose answer was lost.
  const failed = text?.includes('<Error>') === true
  const there = text === undefined && (await bucket.head(name, signal)) !== undefined
  if (failed || (text === undefined && !there)) {
    throw new ObjectStoreError(`POST ${name}: the upload was not finished`, 500, text ?? '')
  }
}

async function abandon(
  bucket: Bucket,
  name: string,
  id: string,
  signal: AbortSignal = AbortSignal.timeout(5_000),
): Promise<void> {
  const query = `uploadId=${encodeURIComponent(id)}`
  const answer = await bucket.request('DELETE', name, signal, { query })
  await answer?.arrayBuffer()
}

/** Chunks put together to parts; the last one may be small, or empty. */
async function* parts(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly last: boolean }> {
  let waiting: Uint8Array[] = []
  let size = 0
  const take = (): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(Buffer.concat(waiting))
    waiting = []
    size = 0
    return bytes
  }
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length;) {
      const some = chunk.subarray(start, start + partSize - size)
      waiting.push(some)
      size += some.length
      start += some.length
      if (size === partSize) yield { bytes: take(), last: false }
    }
  }
  yield { bytes: take(), last: true }
}
