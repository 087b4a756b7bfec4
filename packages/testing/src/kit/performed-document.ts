import { createHash } from 'node:crypto'
import {
  resolveReferences,
  type DocumentFile,
  type FileContent,
  type Job,
  type JobDocument,
  type JobFiles,
  type WebhookData,
} from 'tidemark'
import { TestingError } from '../testing-error.ts'

/** What a job has in memory while a test performs it. */
export interface Performed {
  readonly job: Job<unknown>
  readonly steps: Map<string, unknown>
  readonly variables: Map<string, unknown>
}

/** The document and the files of a performed job: in memory, without the store that other tools read. */
export function performedDocument({ job, steps, variables }: Performed): {
  readonly document: JobDocument
  readonly files: JobFiles
} {
  const contents = new Map<string, Buffer>()
  const added = new Map<string, DocumentFile>()
  let webhook: WebhookData | undefined
  const unsupported = async (): Promise<never> => {
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `${job.name} reads its document, which only a context store has`,
      'Give performJob `context: { document: … }`; or run the job with drainJobs.',
    )
  }
  const add = (file: Omit<DocumentFile, 'name' | 'createdAt'>): DocumentFile => {
    const name = file.path.split('/').at(-1) ?? file.path
    const whole = { ...file, name, createdAt: new Date().toISOString() }
    added.set(file.path, whole)
    return whole
  }
  const find = async ([root, name = '', of]: readonly string[]) => {
    if (root === 'steps' && of === 'output' && steps.has(name)) {
      return { value: steps.get(name), used: 3 }
    }
    if (root === 'variables' && variables.has(name)) {
      return { value: variables.get(name), used: 2 }
    }
    const roots: Record<string, unknown> = {
      input: job.input,
      job,
      webhook: webhook ?? null,
      files: [...added.values()],
    }
    return root !== undefined && Object.hasOwn(roots, root)
      ? { value: roots[root], used: 1 }
      : undefined
  }
  const known = (): string[] => [
    ...[...steps.keys()].map((id) => `steps.${id}.output`),
    ...[...variables.keys()].map((name) => `variables.${name}`),
    'input',
    'job',
    'webhook',
    'files',
  ]
  const document: JobDocument = {
    initialize: unsupported,
    load: unsupported,
    save: unsupported,
    getStepOutput: async (id) => steps.get(id) as never,
    setStepOutput: async (id, output) => {
      if (!steps.has(id)) steps.set(id, output)
    },
    hasStepOutput: (id) => steps.has(id),
    stepIds: () => [...steps.keys()],
    get stepCount() {
      return steps.size
    },
    getVariable: (name) => variables.get(name),
    setVariable: async (name, value) => void variables.set(name, value),
    hasVariable: (name) => variables.has(name),
    variableNames: () => [...variables.keys()],
    get variableCount() {
      return variables.size
    },
    setWebhookData: async (data) => {
      webhook = data
    },
    addFileMetadata: async (file) =>
      add({ mimeType: 'application/octet-stream', rowCount: null, sha256: null, ...file }),
    resolve: async (value) => (await resolveReferences(value, { find, known })) as typeof value,
  }
  const files: JobFiles = {
    write: async (path, content, options = {}) => {
      const bytes = await bytesOf(content)
      contents.set(path, bytes)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      const { mimeType = 'application/octet-stream', rowCount = null } = options
      return add({ path, location: path, size: bytes.length, mimeType, rowCount, sha256 })
    },
    read: async (path) => {
      const bytes = contents.get(path)
      if (bytes === undefined) return unsupported()
      return (async function* () {
        yield new Uint8Array(bytes)
      })()
    },
    list: async () => [...added.values()],
  }
  return { document, files }
}

async function bytesOf(content: FileContent): Promise<Buffer> {
  if (typeof content === 'string') return Buffer.from(content)
  if (content instanceof Uint8Array) return Buffer.from(content)
  const chunks: Buffer[] = []
  for await (const chunk of content) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks)
}
