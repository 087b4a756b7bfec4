import {
  ContextIdFactory,
  type DiscoveryService,
  type ExternalContextCreator,
  type ModuleRef,
} from '@nestjs/core'
import { isJobResult, unwrap, type Logger } from 'tidemark'
import { copyMetadata } from './decorators/marks.ts'

type Method = (...given: readonly unknown[]) => unknown

/** What Nest knows of a provider or a controller. */
export type Provided = ReturnType<DiscoveryService['getProviders']>[number]

/** Calls decorated methods of providers for Tidemark. */
export class Handlers {
  readonly #modules: ModuleRef
  readonly #external: ExternalContextCreator
  readonly #logger: Logger

  constructor(modules: ModuleRef, external: ExternalContextCreator, logger: Logger) {
    this.#modules = modules
    this.#external = external
    this.#logger = logger
  }

  /**
   * What calls a method of a provider. What it throws is shown to the exception filters, of the method, its class and the
   * application, and then thrown: a filter that is content does not make a failed job a completed one. A run of `Job.run`
   * that has failed counts as thrown.
   */
  handler(wrapper: Provided, name: string): Method {
    return async (...given) => {
      const instance = await this.#instanceOf(wrapper, given[0])
      const method = instance[name] as Method
      try {
        const answer = await Reflect.apply(method, instance, given)
        return isJobResult(answer) ? outputOf(answer) : answer
      } catch (error) {
        await this.#tellFilters(instance, method, name, given, error)
        throw error
      }
    }
  }

  /** A provider of a request has an instance of its own for each event and each attempt of a job. */
  async #instanceOf(wrapper: Provided, request: unknown): Promise<Record<string, unknown>> {
    if (wrapper.isDependencyTreeStatic()) return wrapper.instance as Record<string, unknown>
    const context = ContextIdFactory.create()
    this.#modules.registerRequestByContextId(request, context)
    return this.#modules.resolve(wrapper.token as string, context, { strict: false })
  }

  async #tellFilters(
    instance: object,
    method: Method,
    name: string,
    given: readonly unknown[],
    error: unknown,
  ): Promise<void> {
    const failed = (): never => {
      throw error
    }
    // Filters are bound to the method by its metadata.
    copyMetadata(method, failed)
    const options = { guards: false, interceptors: false, filters: true }
    try {
      const told = this.#external.create(
        instance,
        failed,
        name,
        undefined,
        undefined,
        undefined,
        undefined,
        options,
        'tidemark',
      )
      await told(...given)
    } catch (thrown) {
      if (thrown === error) return
      const place = `${instance.constructor.name}.${name}`
      this.#logger.warn(
        { err: thrown, handler: place },
        `an exception filter threw something else than what ${place} failed with`,
      )
    }
  }
}

/**
 * What a run has answered.
 *
 * @throws what it has failed with.
 */
export function outputOf(result: Parameters<typeof unwrap>[0]): unknown {
  // The error itself, so that filters find it by its class.
  if (!result.ok && result.error instanceof Error) throw result.error
  return unwrap(result)
}
