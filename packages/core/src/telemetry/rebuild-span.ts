import { attribute, convention } from './conventions.ts'
import { record } from './meter.ts'
import { attributes, startSpan } from './tracer.ts'

/** A rebuild that has been switched to. */
export interface FinishedRebuild {
  readonly schema: string
  readonly projection: string
  readonly version: number
  /** How long it took in all, in milliseconds, by the server's clock. */
  readonly took: number
  /** How long the switch held the projection still, in milliseconds. */
  readonly held: number
  /** How far it had come. */
  readonly through: bigint
}

/**
 * Tells of a rebuild when it is over: it may have been run by several processes one after the other, and none of them
 * could have kept a span open for all of it.
 */
export function noteRebuild({
  schema,
  projection,
  version,
  took,
  held,
  through,
}: FinishedRebuild): void {
  const owner = { [attribute.schema]: schema, [convention.listener]: projection }
  record('tidemark.rebuild.duration', took / 1000, owner)
  record('tidemark.rebuild.switch.duration', held / 1000, owner)
  const now = Date.now()
  const rebuild = startSpan({
    span: 'rebuild',
    of: projection,
    options: {
      root: true,
      startTime: now - took,
      attributes: attributes({
        ...owner,
        [attribute.version]: version,
        [attribute.lastSequence]: through,
      }),
    },
  })
  if (rebuild === undefined) return
  startSpan({
    span: 'switch',
    of: projection,
    parent: rebuild,
    options: { startTime: now - held, attributes: { ...owner, [attribute.version]: version } },
  })?.end(now)
  rebuild.end(now)
}
