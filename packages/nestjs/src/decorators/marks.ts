import 'reflect-metadata'
import { TidemarkError, type EventDefinition } from 'tidemark'
import type { JobMark } from './job.ts'
import type { ScheduledMark } from './scheduled.ts'

/** What a decorator has said of a method, or of a class for its method `run`. */
export type Mark =
  | { readonly kind: 'on'; readonly events: readonly EventDefinition[] }
  | JobMark
  | ScheduledMark
  | { readonly kind: 'lock' }

/** Any function of a class. */
export type AnyMethod = (...given: never[]) => unknown

/** A decorator of a method, for both kinds that TypeScript compiles: the standard one and `experimentalDecorators`. */
export interface MethodMark<Method extends AnyMethod> {
  (method: Method, context: ClassMethodDecoratorContext): void
  <Given extends Method>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Given>,
  ): void
}

/** A decorator of a class whose instances have certain methods, for both kinds. */
export type ClassMark<Instance> = (
  target: abstract new (...given: never[]) => Instance,
  context?: ClassDecoratorContext,
) => void

const key = Symbol('tidemark')

/** Writes down what a decorator says, on the function itself: that is what both kinds of decorators are given. */
export function mark(target: object, ...marks: readonly Mark[]): void {
  Reflect.defineMetadata(key, [...marksOf(target), ...marks], target)
}

/** What decorators have said of a method or a class. */
export function marksOf(target: object): readonly Mark[] {
  // A class has no marks of the class that it extends: that would be a second job of the same name.
  return (Reflect.getOwnMetadata(key, target) as readonly Mark[] | undefined) ?? []
}

/** Gives a function all that decorators have said of the one in whose place it is put. */
export function copyMetadata(from: object, to: object): void {
  for (const name of Reflect.getOwnMetadataKeys(from) as (string | symbol)[]) {
    Reflect.defineMetadata(name, Reflect.getOwnMetadata(name, from), to)
  }
}

/** The method that a decorator of either kind was given. */
export function decoratedMethod(where: string, given: readonly unknown[]): object {
  const [target, context, descriptor] = given
  const method =
    typeof context === 'object' ? target : (descriptor as PropertyDescriptor | undefined)?.value
  if (typeof method === 'function') return method
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} decorates methods only`, {
    hint: 'Put it before a method of a class.',
  })
}
