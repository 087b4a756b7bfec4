import type { App } from 'tidemark'

/**
 * The application, to be injected: `constructor(private readonly tidemark: Tidemark) {}`. It is the `App` of `defineApp`,
 * made of all definitions of the Nest application when it is first used, which is in `onModuleInit` at the earliest.
 */
export type Tidemark = App

/** The token that {@link Tidemark} is injected by, for factories: `inject: [Tidemark]`. */
// A class, because Nest takes the type of a constructor's parameter for its token.
export const Tidemark: abstract new () => App = class TidemarkApp {} as unknown as new () => App

/**
 * An application that is made when it is first used: services may have it injected that its own listeners and jobs have
 * injected in their turn.
 */
export function lateApp(made: () => App): App {
  return new Proxy({} as App, {
    get: (_, key) => {
      // Whoever only looks at what providers there are must not have it made: Nest asks whether it is a promise, and for
      // hooks; others for its class, or how it is to be printed.
      if (key === 'constructor') return Tidemark
      if (typeof key === 'symbol' ? key !== Symbol.asyncDispose : unasked.has(key)) return undefined
      const app = made()
      const value: unknown = Reflect.get(app, key, app)
      // Methods need the application as `this`: its fields are private.
      return typeof value === 'function' ? (value.bind(app) as unknown) : value
    },
  })
}

const unasked = new Set([
  'then',
  'toJSON',
  'onModuleInit',
  'onApplicationBootstrap',
  'onModuleDestroy',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
])
