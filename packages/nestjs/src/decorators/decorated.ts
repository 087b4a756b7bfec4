import type { DiscoveryService } from '@nestjs/core'
import {
  defineJob,
  defineListener,
  defineSchedule,
  TidemarkError,
  type App,
  type JobDefinition,
  type Module,
} from 'tidemark'
import { z } from 'zod'
import type { Handlers, Provided } from '../handlers.ts'
import { ownLocks } from './distributed-lock.ts'
import { listenerOf } from './listener.ts'
import { marksOf, type Mark } from './marks.ts'

interface Decorated {
  readonly wrapper: Provided
  readonly target: new (...given: never[]) => object
  /** The methods, and what was said of them. */
  readonly methods: readonly { readonly name: string; readonly mark: Mark }[]
}

type Given = (...given: readonly unknown[]) => unknown

/** The definitions that decorators make of providers and controllers. Their handlers call the instances. */
export function decoratedDefinitions(discovery: DiscoveryService, handlers: Handlers): Module[] {
  return decoratedOf(discovery).flatMap((decorated) => definitionsOf(decorated, handlers))
}

/** Says of each instance with locks which application they are of. */
export function ownAllLocks(discovery: DiscoveryService, app: App): void {
  for (const { wrapper, methods } of decoratedOf(discovery)) {
    const instance: unknown = wrapper.instance
    const locks = methods.some(({ mark }) => mark.kind === 'lock')
    if (locks && typeof instance === 'object' && instance !== null) ownLocks(instance, app)
  }
}

function decoratedOf(discovery: DiscoveryService): Decorated[] {
  // A provider with an alias is there twice, with one instance.
  const wrappers = [...discovery.getProviders(), ...discovery.getControllers()].filter(
    (wrapper) => !wrapper.isAlias,
  )
  return wrappers.flatMap((wrapper) => {
    const target = classOf(wrapper)
    if (target === undefined) return []
    const methods = [
      ...marksOf(target).map((mark) => ({ name: 'run', mark })),
      ...methodsOf(target.prototype as object),
    ]
    const isListener = listenerOf(target) !== undefined
    return methods.length === 0 && !isListener ? [] : [{ wrapper, target, methods }]
  })
}

/** The class of a provider, also of one that a factory makes. */
function classOf({ instance, metatype, inject }: Provided): Decorated['target'] | undefined {
  const made = (instance as object | null | undefined)?.constructor
  // What `inject` has is the function of a factory, not a class.
  const target =
    made !== undefined && made !== Object
      ? made
      : inject === null || inject === undefined
        ? metatype
        : null
  return typeof target === 'function' && typeof target.prototype === 'object'
    ? (target as Decorated['target'])
    : undefined
}

function methodsOf(prototype: object): Decorated['methods'] {
  const found: { name: string; mark: Mark }[] = []
  // The marks of the class itself are not those of a method.
  const names = new Set(['constructor'])
  for (
    let from: object | null = prototype;
    from !== null && from !== Object.prototype;
    from = Reflect.getPrototypeOf(from)
  ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
      // What a class overrides it has decorated itself, or not.
      if (names.has(name) || typeof value !== 'function') continue
      names.add(name)
      for (const mark of marksOf(value as object)) found.push({ name, mark })
    }
  }
  return found
}

function definitionsOf({ wrapper, target, methods }: Decorated, handlers: Handlers): Module[] {
  const definitions: Module[] = []
  const said = listenerOf(target)
  let listener = said && defineListener(said.name, said.options)
  for (const { name, mark } of methods) {
    const handler = handlers.handler(wrapper, name)
    switch (mark.kind) {
      case 'on':
        if (listener === undefined) throw withoutListener(target.name)
        listener = listener.on(mark.events, async (...given) => handler(...given))
        break
      case 'job':
        definitions.push(jobOf(mark.name, mark.options, handler))
        break
      case 'scheduled': {
        const { name: schedule, times } = mark
        const job = jobOf(schedule, mark.job, handler) as JobDefinition<{ tick: Date }>
        definitions.push(defineSchedule(schedule, { ...times, job, input: (tick) => ({ tick }) }))
        break
      }
      case 'lock':
        break
    }
  }
  return listener === undefined ? definitions : [...definitions, listener]
}

function jobOf(name: string, options: object, run: Given): JobDefinition {
  return defineJob(name, {
    // What a job that takes nothing is given.
    input: z.unknown(),
    ...options,
    run: (job, context) => run(job, context),
  })
}

function withoutListener(name: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${name} has methods with @On and is no listener`,
    { hint: "Put `@Listener('name')` before the class: the name is where its cursor is stored." },
  )
}
