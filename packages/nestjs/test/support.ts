import type { LoggerService, ModuleMetadata } from '@nestjs/common'
import { Test, type TestingModule } from '@nestjs/testing'
import { TidemarkModule, type TidemarkModuleOptions } from '@tidemark/nestjs'
import { onTestDatabase, type TestedDatabase } from '@tidemark/nestjs/testing'
import type { Logger } from 'tidemark'

/** What Nest itself would print of failures that are meant. */
export const silent: LoggerService = { log() {}, warn() {}, error() {} }

/** A Nest application that closes at the end of its block. */
export class NestApp implements AsyncDisposable {
  readonly module: TestingModule
  readonly log: string[]

  constructor(module: TestingModule, log: string[]) {
    this.module = module
    this.log = log
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.module.close()
  }
}

/** Starts a Nest application of these providers on a test's database, with a log that is kept. */
export async function nestOn(
  database: TestedDatabase,
  metadata: ModuleMetadata,
  options: Partial<TidemarkModuleOptions> = {},
): Promise<NestApp> {
  const log: string[] = []
  const logger: Logger = {
    debug() {},
    info: (_, message) => void log.push(`info: ${message}`),
    warn: (_, message) => void log.push(`warn: ${message}`),
    error: (_, message) => void log.push(`error: ${message}`),
  }
  const imports = [...(metadata.imports ?? []), TidemarkModule.forRoot({})]
  const builder = Test.createTestingModule({ ...metadata, imports }).setLogger(silent)
  const module = await onTestDatabase(builder, database, { logger, ...options }).compile()
  await module.init()
  return new NestApp(module, log)
}
