import { rejectUnknownOptions, TidemarkError, type ContextStore, type OutputStore } from 'tidemark'
import { requireText } from '../opened/checked.ts'
import { again } from '../s3/again.ts'
import { Bucket, type SigningClient } from '../s3/bucket.ts'
import { abandonAll, upload } from '../s3/upload.ts'

/** Where in an object store the contexts of jobs are kept. */
export interface S3ContextOptions {
  /** What signs and sends requests: an `AwsClient` of `aws4fetch`. */
  readonly client: SigningClient
  /** The URL of the bucket: `https://contexts.s3.eu-central-1.amazonaws.com`, or `http://localhost:7480/contexts`. */
  readonly bucket: string
  /** What the names of all objects begin with. Defaults to nothing. */
  readonly prefix?: string
  /** Names the store in Tidemark's tables. Defaults to `contexts`. */
  readonly name?: string
  /** Which jobs have their context kept. Defaults to all that are not transactional. */
  readonly jobs?: readonly string[]
  /** Whether each job has a folder, or each definition, for all its jobs. Defaults to `job`. */
  readonly folders?: 'job' | 'definition'
}

/** A context store with a place for large outputs of jobs and steps. */
export interface S3Contexts extends ContextStore {
  /** For `defineApp({ outputs: { store } })`: objects under `outputs/` of the same bucket. */
  readonly outputs: OutputStore
}

const known = ['client', 'bucket', 'prefix', 'name', 'jobs', 'folders']
const versionHeader = 'x-amz-meta-tidemark-version'
const hashHeader = 'x-amz-meta-tidemark-sha256'
const json = { 'content-type': 'application/json' }
const mostListed = 1_000
// Deletions under way at a time.
const concurrency = 16

/**
 * A context store in S3, or in what speaks its protocol and has conditional writes: AWS and Ceph have them.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { s3 } from '@tidemark/stores/context'
 * import { AwsClient } from 'aws4fetch'
 * import { defineApp } from 'tidemark'
 *
 * const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
 * const client = new AwsClient({ ...secrets, service: 's3', region: 'eu-central-1', retries: 0 })
 * const contextStore = s3({ client, bucket: 'https://contexts.s3.eu-central-1.amazonaws.com' })
 * export default defineApp({ modules: [], contextStore })
 * ```
 */
export function s3(options: S3ContextOptions): S3Contexts {
  rejectUnknownOptions('s3', options, known)
  const { client, bucket: url, prefix = '', name = 'contexts', jobs, folders = 'job' } = options
  if (typeof (client as Partial<SigningClient> | undefined)?.fetch !== 'function') {
    throw invalid('client', 'has no fetch()')
  }
  if (!URL.canParse(url)) throw invalid('bucket', 'is not a URL')
  if (prefix !== '') requireText('s3', 'prefix', prefix, 100)
  if (folders !== 'job' && folders !== 'definition') {
    throw invalid('folders', 'must be "job" or "definition"')
  }
  const bucket = new Bucket(client, url.endsWith('/') ? url.slice(0, -1) : url)
  return new Contexts(bucket, prefix, name, jobs, folders)
}

class Contexts implements S3Contexts {
  readonly name: string
  readonly jobs?: readonly string[]
  readonly folders: 'job' | 'definition'
  readonly outputs: OutputStore
  readonly #bucket: Bucket
  readonly #prefix: string

  constructor(
    bucket: Bucket,
    prefix: string,
    name: string,
    jobs: readonly string[] | undefined,
    folders: 'job' | 'definition',
  ) {
    this.name = name
    if (jobs !== undefined) this.jobs = jobs
    this.folders = folders
    this.#bucket = bucket
    this.#prefix = prefix
    this.outputs = outputsIn(bucket, prefix, name)
  }

  readonly put: ContextStore['put'] = async (name, text, { version, sha256, signal }) => {
    const at = this.#prefix + name
    const headers = { ...json, [versionHeader]: String(version), [hashHeader]: sha256 }
    for (;;) {
      const there = await again(signal, () => this.#bucket.head(at, signal))
      const found = Number(there?.headers.get(versionHeader) ?? 0)
      const hash = there?.headers.get(hashHeader) ?? ''
      if (found > version || (found === version && hash === sha256)) {
        return { version: found, sha256: hash }
      }
      // INVARIANT: only what was judged is replaced: whoever comes late, with whatever version, is judged anew.
      const replace = () => this.#bucket.replace(at, text, there?.etag, signal, headers)
      if (await again(signal, replace)) return { version, sha256 }
      signal.throwIfAborted()
    }
  }

  readonly get: ContextStore['get'] = async (name, { signal }) =>
    (await again(signal, () => this.#bucket.get(this.#prefix + name, signal)))?.text

  readonly write: ContextStore['write'] = (name, chunks, options) =>
    upload(this.#bucket, this.#prefix + name, chunks, options)

  readonly read: ContextStore['read'] = async (name, { signal }) => {
    const ask = () => this.#bucket.request('GET', this.#prefix + name, signal)
    const answer = await again(signal, ask)
    if (answer === undefined) return undefined
    return answer.body ?? empty()
  }

  readonly names: ContextStore['names'] = async (prefix, { after = '', signal }) => {
    const begin = after === '' ? '' : this.#prefix + after
    const list = () => this.#bucket.names(this.#prefix + prefix, begin, mostListed, signal)
    return (await again(signal, list)).names.map((name) => name.slice(this.#prefix.length))
  }

  readonly delete: ContextStore['delete'] = (names, { signal }) =>
    removeAll(
      this.#bucket,
      names.map((name) => this.#prefix + name),
      signal,
    )

  readonly abandon: ContextStore['abandon'] = (prefix, { signal }) =>
    abandonAll(this.#bucket, this.#prefix + prefix, signal)
}

function outputsIn(bucket: Bucket, prefix: string, name: string): OutputStore {
  const locate = (key: string): string => `outputs/${key}.json`
  const at = (key: string): string => prefix + locate(key)
  return {
    name,
    locate,
    put: async (key, text, { signal }) => {
      const options = { headers: json, body: text }
      const answer = await again(signal, () => bucket.request('PUT', at(key), signal, options))
      await answer?.arrayBuffer()
    },
    get: async (key, { signal }) => (await again(signal, () => bucket.get(at(key), signal)))?.text,
    delete: (keys, { signal }) => removeAll(bucket, keys.map(at), signal),
  }
}

async function removeAll(
  bucket: Bucket,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const queue = names.values()
  const work = async (): Promise<void> => {
    for (const name of queue) await again(signal, () => bucket.remove(name, signal))
  }
  await Promise.all(Array.from({ length: concurrency }, work))
}

async function* empty(): AsyncGenerator<Uint8Array> {
  // An answer without a body is a file of no bytes.
}

function invalid(option: string, what: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', `s3: "${option}" ${what}`, {
    hint: 'For instance `s3({ client: new AwsClient({ … }), bucket: "http://localhost:7480/contexts" })`.',
    details: { option },
  })
}
