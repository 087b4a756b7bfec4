import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { ProjectFolder, tidemark, tidemarkJson, TidemarkTask, type Answer } from './tidemark.ts'

/** A config in a folder of its own, and the database that it works on. */
export class Project implements AsyncDisposable {
  readonly database: TestDatabase
  readonly folder: ProjectFolder

  private constructor(database: TestDatabase, folder: ProjectFolder) {
    this.database = database
    this.folder = folder
  }

  /** @param tables - the SQL that creates what its handlers write. */
  static async create(config: string, tables: string): Promise<Project> {
    const database = await createTestDatabase()
    await database.query(tables)
    return new Project(database, await ProjectFolder.create({ 'tidemark.config.ts': config }))
  }

  get options(): { cwd: string; env: { DATABASE_URL: string } } {
    return { cwd: this.folder.path, env: { DATABASE_URL: this.database.url } }
  }

  call(...args: string[]): Promise<Answer> {
    return tidemark(args, this.options)
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as tidemarkJson()
  json<T>(...args: string[]): Promise<{ code: number | null; value: T }> {
    return tidemarkJson<T>(args, this.options)
  }

  /** Starts a worker, and waits until it runs. */
  async worker(): Promise<TidemarkTask> {
    const worker = new TidemarkTask(['worker', '--log', 'pretty'], this.options)
    await worker.printed('stderr', 'the worker runs')
    return worker
  }

  /** Publishes an event and answers its sequence. */
  async publish(type: string, payload: unknown, ...options: string[]): Promise<string> {
    const { value } = await this.json<{ sequence: string }>(
      'publish',
      type,
      JSON.stringify(payload),
      ...options,
    )
    return value.sequence
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]()
    await this.database[Symbol.asyncDispose]()
  }
}
