import { AsyncLocalStorage } from 'node:async_hooks'
import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { App, HeldLock, LockOptions } from 'tidemark'
import { copyMetadata, decoratedMethod, mark, type AnyMethod } from './marks.ts'

const held = new AsyncLocalStorage<HeldLock>()
/** Which application an instance with locks belongs to: a process may have several, as tests do. */
const owners = new WeakMap<object, App>()
const live = new Set<App>()

/** A decorator of an asynchronous method, of both kinds, that puts another in its place. */
export interface LockDecorator<Given extends unknown[]> {
  <Method extends (...given: Given) => Promise<unknown>>(
    method: Method,
    context: ClassMethodDecoratorContext,
  ): Method
  <Method extends (...given: Given) => Promise<unknown>>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void
}

/**
 * Runs a method in one process at a time: while another call holds the lock, here or elsewhere, the call is skipped. It
 * answers undefined then, and the log has a warning. The lock is renewed as long as the method runs.
 *
 * @param key - the lock, or what makes it of the arguments.
 * @param options - how long it lasts when its holder dies (`ttl`, defaults to 30 s), and where it is kept (`store`).
 * @throws the method: TidemarkError TIDEMARK_LOCK_LOST when the lock was lost before it had finished.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common'
 * import { DistributedLock, heldLock } from '@tidemark/nestjs'
 *
 * @Injectable()
 * export class Reports {
 *   @DistributedLock((day: string) => `report ${day}`, { ttl: '1m' })
 *   async write(day: string): Promise<void> {
 *     console.log(day, heldLock()?.token)
 *   }
 * }
 * ```
 */
export function DistributedLock<Given extends unknown[] = never[]>(
  key: string | ((...given: Given) => string),
  options: LockOptions = {},
): LockDecorator<Given> {
  rejectUnknownOptions('@DistributedLock', options, ['ttl', 'store'])
  const decorate = (...given: readonly unknown[]): unknown => {
    const method = decoratedMethod('@DistributedLock', given) as AnyMethod
    const locked = async function locked(this: object, ...args: Given): Promise<unknown> {
      const lock = typeof key === 'function' ? key(...args) : key
      const { value } = await ownerOf(this).jobs.withLock(lock, options, (mine) =>
        held.run(mine, () => Reflect.apply(method, this, args) as unknown),
      )
      return value
    }
    Object.defineProperty(locked, 'name', { value: method.name, configurable: true })
    copyMetadata(method, locked)
    mark(locked, { kind: 'lock' })
    const descriptor = given[2] as PropertyDescriptor | undefined
    if (descriptor === undefined || typeof given[1] === 'object') return locked
    descriptor.value = locked
    return undefined
  }
  return decorate as LockDecorator<Given>
}

/** The lock that the running method holds: its token, and the signal that aborts when it is lost; undefined without one. */
export function heldLock(): HeldLock | undefined {
  return held.getStore()
}

/** Says which application the locks of an instance are of. */
export function ownLocks(instance: object, app: App): void {
  owners.set(instance, app)
}

/** From now on an instance that nobody owns takes its locks of this application, as one of a request does. */
export function beginLocks(app: App): Disposable {
  live.add(app)
  return { [Symbol.dispose]: () => void live.delete(app) }
}

function ownerOf(instance: object): App {
  const app = owners.get(instance) ?? [...live].at(-1)
  if (app !== undefined) return app
  throw new TidemarkError(
    'TIDEMARK_TOO_EARLY',
    '@DistributedLock needs a Nest application that has started',
    { hint: 'Import `TidemarkModule.forRoot(…)`, and call the method after `onModuleInit`.' },
  )
}
