import type { App, ListenerStatus, PartitionStatus, RebuildProgress } from 'tidemark'
import type { Column, Output } from './output.ts'
import { rebuildText } from './rebuild-view.ts'

/** A listener, and what else concerns it. */
export interface ListenerView extends ListenerStatus {
  /** The rebuild under way, if there is one. */
  readonly rebuild: RebuildProgress | null
}

/** All listeners, or only projections, by name. */
export async function listListeners(
  app: App,
  kind?: ListenerStatus['kind'],
): Promise<ListenerView[]> {
  const listeners = await app.listeners.list()
  const wanted = listeners.filter((listener) => kind === undefined || listener.kind === kind)
  return views(app, wanted)
}

/** @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER. */
export async function getListener(app: App, name: string): Promise<ListenerView> {
  const [view] = await views(app, [await app.listeners.get(name)])
  return view as ListenerView
}

async function views(app: App, listeners: readonly ListenerStatus[]): Promise<ListenerView[]> {
  const rebuilds = await app.rebuilds.list()
  return listeners.map((listener) => ({
    ...listener,
    rebuild: rebuilds.find(({ projection }) => projection === listener.name) ?? null,
  }))
}

/** Prints listeners as a table. */
export function printListeners(
  output: Output,
  listeners: readonly ListenerView[],
  nothing: string,
): void {
  const { green, yellow, red, cyan } = output.colors
  const paint = { active: green, paused: yellow, halted: red, rebuilding: cyan }
  output.list(
    listeners,
    [
      { heading: 'NAME', value: (row) => row.name },
      { heading: 'KIND', value: (row) => kindOf(row) },
      { heading: 'VERSION', value: (row) => row.version, align: 'right' },
      {
        heading: 'STATUS',
        value: (row) => row.status,
        paint: (text, row) => paint[row.status](text),
      },
      { heading: 'CURSOR', value: (row) => row.cursor, align: 'right' },
      { heading: 'LAG', value: (row) => row.lag, align: 'right' },
      { heading: 'BEHIND', value: behind, align: 'right' },
      { heading: 'PARTITIONS', value: (row) => partitionsOf(row), align: 'right' },
      { heading: 'RUN BY', value: (row) => runBy(row) },
      ...whereAny(listeners, ({ deadLetters }) => deadLetters > 0, {
        heading: 'DEAD LETTERS',
        value: (row) => row.deadLetters,
        align: 'right',
      }),
      ...whereAny(listeners, ({ rebuild }) => rebuild !== null, {
        heading: 'REBUILD',
        value: (row) => rebuildText(row.rebuild),
      }),
      { heading: 'LAST ERROR', value: (row) => lastErrorOf(row)?.message.slice(0, 80) },
    ],
    nothing,
  )
}

/** A column that is shown when some row has something to say in it. */
function whereAny(
  listeners: readonly ListenerView[],
  says: (listener: ListenerView) => boolean,
  column: Column<ListenerView>,
): Column<ListenerView>[] {
  return listeners.some(says) ? [column] : []
}

/** Prints one listener with its partitions. */
export function printListener(
  output: Output,
  listener: ListenerView,
  more: Readonly<Record<string, unknown>> = {},
): void {
  const { name, version, status, cursor, lag, partitions, rebuild } = listener
  const facts = {
    name,
    kind: kindOf(listener),
    version,
    status,
    cursor,
    lag,
    behind: behind(listener),
    partitions: partitionsOf(listener),
    'dead letters': listener.deadLetters || null,
    rebuild: rebuildText(rebuild),
    'rebuild error': rebuild?.error?.message,
  }
  const { partition, ...error } = errorFacts(listener)
  output.result({ ...listener, ...more }, () =>
    [
      output.facts({ ...facts, ...more }),
      '',
      output.table(partitions, [
        { heading: 'PARTITION', value: (row) => row.partition, align: 'right' },
        { heading: 'CURSOR', value: (row) => row.cursor, align: 'right' },
        { heading: 'RUN BY', value: (row) => row.process ?? 'nobody' },
        { heading: 'ATTEMPTS', value: (row) => row.attempts, align: 'right' },
        { heading: 'FAILED ON', value: (row) => row.failedSequence, align: 'right' },
        { heading: 'NEXT ATTEMPT', value: (row) => row.nextAttemptAt },
        { heading: 'HALTED AT', value: (row) => row.haltedAt },
      ]),
      ...(partition === undefined
        ? []
        : ['', output.colors.red(`Last error, in partition ${partition}`), output.facts(error)]),
    ].join('\n'),
  )
}

/** How long the oldest event that was not handled has been waiting. */
function behind({ lagSeconds }: ListenerStatus): string {
  if (lagSeconds === 0) return '-'
  if (lagSeconds < 60) return `${lagSeconds.toFixed(1)} s`
  const minutes = Math.floor(lagSeconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`
}

/** The error of the first partition that has one. */
function lastErrorOf(listener: ListenerStatus): PartitionStatus['lastError'] {
  return failing(listener)?.lastError ?? null
}

function failing(listener: ListenerStatus): PartitionStatus | undefined {
  return listener.partitions.find(({ lastError }) => lastError !== null)
}

function errorFacts(listener: ListenerStatus): Record<string, unknown> & { partition?: number } {
  const found = failing(listener)
  if (found === undefined || found.lastError === null) return {}
  const { message, hint, cause } = found.lastError
  return { partition: found.partition, message, cause: cause?.message, hint }
}

function kindOf({ kind, mode }: ListenerStatus): string {
  return mode === 'inline' ? `inline ${kind}` : kind
}

/** How many there are, and how many there will be. */
function partitionsOf({ partitions, resize }: ListenerView): string {
  return resize === null ? String(partitions.length) : `${partitions.length} → ${resize.to}`
}

function runBy({ mode, partitions }: ListenerView): string {
  if (mode === 'inline') return 'publishers'
  const processes = new Set(partitions.map(({ process }) => process ?? 'nobody'))
  return [...processes].join(', ') || 'nobody'
}
