import type { FactoryProvider, InjectionToken } from '@nestjs/common'
import type { Module } from 'tidemark'
import { TidemarkHost } from './host.ts'

/** Definitions whose handlers need providers. */
export interface DefinitionsFactory<Defined extends Module = Module> {
  /** The token by which others have the definitions injected. Defaults to one that nobody knows. */
  readonly provide?: InjectionToken
  /** What the factory is given. */
  readonly inject?: NonNullable<FactoryProvider['inject']>
  /** Answers a definition, or an object or a list of several. */
  readonly useFactory: (...given: never[]) => Defined | Promise<Defined>
}

/**
 * A provider that adds definitions to the application, whose handlers use other providers of the module.
 *
 * @example
 * ```ts
 * import { Injectable, Module } from '@nestjs/common'
 * import { provideDefinitions } from '@tidemark/nestjs'
 * import { defineEvent, defineListener } from 'tidemark'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ email: z.string() }) })
 *
 * @Injectable()
 * class Mail {
 *   send(to: string) {
 *     console.log(to)
 *   }
 * }
 *
 * @Module({
 *   providers: [
 *     Mail,
 *     provideDefinitions({
 *       inject: [Mail],
 *       useFactory: (mail: Mail) =>
 *         defineListener('welcome').on(opened, (event) => mail.send(event.payload.email)),
 *     }),
 *   ],
 * })
 * export class AccountsModule {}
 * ```
 */
export function provideDefinitions<Defined extends Module>({
  provide = Symbol('tidemark definitions'),
  inject = [],
  useFactory,
}: DefinitionsFactory<Defined>): FactoryProvider<Defined> {
  return {
    provide,
    inject: [TidemarkHost, ...inject],
    useFactory: async (host: TidemarkHost, ...given: unknown[]) => {
      const definitions = await useFactory(...(given as never[]))
      host.add(Array.isArray(definitions) ? (definitions as Module[]) : [definitions])
      return definitions
    },
  }
}

/** Whether something is a factory of definitions, and not a definition. */
export function isFactory(feature: Module | DefinitionsFactory): feature is DefinitionsFactory {
  return typeof (feature as Partial<DefinitionsFactory>).useFactory === 'function'
}
