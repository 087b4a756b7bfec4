import { run } from '../../database/executor.ts'
import { addFile, setWebhook } from '../../database/sql/job/job-documents.ts'
import { readStepOutputs } from '../../database/sql/job/job-memory.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { ContextDocument, DocumentFile } from '../defined/context-document.ts'
import { encodeStored } from '../defined/job-codec.ts'
import type { Job, JobContext } from '../defined/job-context.ts'
import type { JobDocument, NewFile, WebhookData } from '../defined/job-document.ts'
import { fileOf, webhookRow } from '../documented/job-file.ts'
import { resolveReferences, type Found } from '../documented/references.ts'
import type { JobMemory } from '../remembered/job-memory.ts'
import { rowOf, type OutputTexts } from '../remembered/job-steps.ts'
import { documentsOf } from './run-files.ts'

/** The document of one attempt. */
export class RunDocument implements JobDocument {
  readonly #attempt: Attempt
  readonly #memory: JobMemory
  readonly #job: Job<unknown, unknown>
  readonly #step: JobContext<unknown>['step']

  constructor(
    attempt: Attempt,
    memory: JobMemory,
    job: Job<unknown, unknown>,
    step: JobContext<unknown>['step'],
  ) {
    this.#attempt = attempt
    this.#memory = memory
    this.#job = job
    this.#step = step
  }

  readonly initialize = (): Promise<ContextDocument> => this.save()

  readonly load = (): Promise<ContextDocument> =>
    this.#memory.branches.give(async () => documentsOf(this.#attempt).load(this.#job.id))

  readonly save = (): Promise<ContextDocument> =>
    this.#memory.branches.give(async () => {
      const documents = documentsOf(this.#attempt)
      await documents.save(this.#attempt.job)
      return documents.load(this.#job.id)
    })

  readonly getStepOutput = <T = unknown>(id: string): Promise<T | undefined> =>
    this.#memory.branches.give(async () => (await this.#outputOf(id)) as T | undefined)

  readonly setStepOutput = (id: string, output: unknown): Promise<void> =>
    this.#step(id, () => output).then(() => undefined)

  readonly hasStepOutput = (id: string): boolean => {
    const step = this.#memory.steps.get(id)
    return step?.kind === 'step' && step.position !== null && step.error === null
  }

  readonly stepIds = (): readonly string[] =>
    [...this.#memory.steps.values()]
      .filter(({ id }) => this.hasStepOutput(id))
      .toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
      .map(({ id }) => id)

  get stepCount(): number {
    return this.stepIds().length
  }

  readonly getVariable = (name: string): unknown => this.#memory.variables.get(name)

  readonly setVariable = (name: string, value: unknown): Promise<void> =>
    this.#memory.branches.give(() => this.#memory.saveVariable(name, value))

  readonly hasVariable = (name: string): boolean => this.#memory.variables.has(name)

  readonly variableNames = (): readonly string[] => [...this.#memory.variables.keys()]

  get variableCount(): number {
    return this.#memory.variables.size
  }

  readonly setWebhookData = (webhook: WebhookData): Promise<void> =>
    this.#memory.branches.give(async () => {
      const documents = documentsOf(this.#attempt)
      const { json, meta } = encodeStored('the webhook', webhookRow(webhook))
      await this.#attempt.persist(setWebhook, [json, meta])
      await documents.save(this.#attempt.job)
    })

  readonly addFileMetadata = (file: NewFile): Promise<DocumentFile> =>
    this.#memory.branches.give(async () => {
      const documents = documentsOf(this.#attempt)
      const added = fileOf(this.#attempt.definition.name, file)
      await this.#attempt.persist(addFile, [added.path, JSON.stringify(added)])
      await documents.save(this.#attempt.job)
      return added
    })

  readonly resolve = <T>(value: T): Promise<T> =>
    this.#memory.branches.give(
      async () =>
        (await resolveReferences(value, {
          find: (path) => this.#find(path),
          known: () => this.#known(),
        })) as T,
    )

  async #find([root, name, of]: readonly string[]): Promise<Found | undefined> {
    switch (root) {
      case 'steps':
        return name !== undefined && of === 'output' && this.hasStepOutput(name)
          ? { value: await this.#outputOf(name), used: 3 }
          : undefined
      case 'variables':
        return name !== undefined && this.hasVariable(name)
          ? { value: this.getVariable(name), used: 2 }
          : undefined
      case 'input':
        return { value: this.#job.input, used: 1 }
      case 'job': {
        const { id, name: type, attempt, createdAt, triggeredBy, parent } = this.#job
        return { value: { id, name: type, attempt, createdAt, triggeredBy, parent }, used: 1 }
      }
      case 'webhook':
        return {
          value: await documentsOf(this.#attempt).webhook(this.#job.id),
          used: 1,
        }
      case 'files':
        return { value: await documentsOf(this.#attempt).files(this.#job.id), used: 1 }
      default:
        return undefined
    }
  }

  #known(): string[] {
    return [
      ...this.stepIds().map((id) => `steps.${id}.output`),
      ...this.variableNames().map((name) => `variables.${name}`),
      'input',
      'webhook',
      'files',
      'job',
    ]
  }

  async #outputOf(id: string): Promise<unknown> {
    if (!this.hasStepOutput(id)) return undefined
    const { database, outbox, outputs } = this.#attempt.environment
    // One is read however long it is.
    const { rows } = await run(database, readStepOutputs(outbox.schema), [this.#job.id, [id], 1])
    const [row] = rows as unknown as readonly OutputTexts[]
    if (row === undefined) return undefined
    const columns = { ...rowOf(row), part: `step/${id}` }
    return outputs.read(database, this.#job.id, columns, this.#attempt.cutSignal)
  }
}
