/** A process that is alive, and what it can run. */
export interface LiveProcess {
  readonly id: string
  /** The same list in processes that run the same. */
  readonly definitions: readonly {
    readonly name: string
    readonly version: number
    /** The types of event that it handles. */
    readonly types?: readonly string[]
    /** The version of each of them that it knows. */
    readonly versions?: Readonly<Record<string, number>>
  }[]
}

/** A partition that wants to be run. */
export interface AssignablePartition {
  readonly listener: string
  readonly version: number
  readonly generation: number
  readonly partition: number
  /** Whether it is of the live generation; false: of one that is being built. */
  readonly live: boolean
  /** The types that whoever started last handles: who does not know them all would pass the others by. */
  readonly types?: readonly string[] | null
  /** A version of an event that its owners were too old for: who takes it must know that version, or a newer one. */
  readonly awaits?: { readonly type: string; readonly version: number } | null
  /** Who holds its lease now, if anybody does. */
  readonly owner: string | null
}

/**
 * Decides which process runs which partition. Every process computes it from the same rows and acts on its own
 * part; leases keep them apart while they disagree.
 *
 * Loads are as even as they can be: no chain of moves, each to a process that can run what it is given, would take
 * one from a process and give it to another that has at least two less. That is optimal (Harvey, Ladner, Lovász and
 * Tamir, "Semi-matchings for bipartite graphs and load balancing", 2006). A partition stays with its owner unless
 * it has to move for that.
 */
export function assignPartitions(
  processes: readonly LiveProcess[],
  partitions: readonly AssignablePartition[],
): ReadonlyMap<AssignablePartition, string> {
  const able = ableProcesses(processes, partitions)
  const loads = new Loads(processes.map(({ id }) => id))
  // Who stays is decided before who comes.
  for (const partition of partitions) {
    const { owner } = partition
    if (owner !== null && able.get(partition)?.includes(owner) === true)
      loads.give(partition, owner)
  }
  for (const partition of partitions) {
    if (loads.ownerOf.has(partition)) continue
    const least = loads.leastOf(able.get(partition) ?? [])
    if (least !== undefined) loads.give(partition, least)
  }
  while (moveSome(loads, able));
  return loads.ownerOf
}

type Definition = LiveProcess['definitions'][number]

/** Which processes can run each partition, in the order of the processes. */
function ableProcesses(
  processes: readonly LiveProcess[],
  partitions: readonly AssignablePartition[],
): ReadonlyMap<AssignablePartition, readonly string[]> {
  // Hundreds of processes share a few lists of definitions: what can be run is asked of each list once.
  const kinds = [...new Set(processes.map(({ definitions }) => definitions))]
  const known = kinds.map(
    (kind) => new Map<string, Definition>(kind.map((one) => [`${one.name}@${one.version}`, one])),
  )
  const able = new Map<string, readonly string[]>()
  return new Map(
    partitions.map((partition) => {
      const place = `${partition.listener}@${partition.version}`
      const can = kinds.filter((_, kind) => canRun(known[kind]?.get(place), partition))
      const id = can.map((kind) => kinds.indexOf(kind)).join(' ')
      let ids = able.get(id)
      if (ids === undefined) {
        const chosen = new Set(can)
        ids = processes.filter((one) => chosen.has(one.definitions)).map((one) => one.id)
        able.set(id, ids)
      }
      return [partition, ids]
    }),
  )
}

function canRun(
  definition: Definition | undefined,
  { types, awaits }: AssignablePartition,
): boolean {
  if (definition === undefined) return false
  const handled = new Set(definition.types)
  if (!(types ?? []).every((type) => handled.has(type))) return false
  return !awaits || (definition.versions?.[awaits.type] ?? 0) >= awaits.version
}

/** Who has what, while it is being decided. */
class Loads {
  readonly ownerOf = new Map<AssignablePartition, string>()
  readonly #held: ReadonlyMap<string, Set<AssignablePartition>>

  constructor(ids: readonly string[]) {
    this.#held = new Map(ids.map((id) => [id, new Set()]))
  }

  /** The processes, those with the most first. */
  byLoad(): string[] {
    return [...this.#held.keys()].toSorted((a, b) => this.of(b) - this.of(a))
  }

  of(id: string): number {
    return this.heldBy(id).size
  }

  heldBy(id: string): ReadonlySet<AssignablePartition> {
    return this.#held.get(id) ?? new Set()
  }

  leastOf(ids: readonly string[]): string | undefined {
    let least: string | undefined
    for (const id of ids) if (least === undefined || this.of(id) < this.of(least)) least = id
    return least
  }

  give(partition: AssignablePartition, id: string): void {
    const before = this.ownerOf.get(partition)
    if (before !== undefined) this.#held.get(before)?.delete(partition)
    this.#held.get(id)?.add(partition)
    this.ownerOf.set(partition, id)
  }
}

/** A step of a chain of moves: the process was reached by taking this partition from the one before. */
interface Step {
  readonly partition: AssignablePartition
  readonly from: string
}

/**
 * Moves partitions from the process with the most, as long as it has the most, to some that have at least two less. Answers
 * false when there is nobody from whom that can be done.
 */
function moveSome(
  loads: Loads,
  able: ReadonlyMap<AssignablePartition, readonly string[]>,
): boolean {
  // Whatever can be reached from where the search began without success leads nowhere from there either: others may
  // begin with less, and would need somebody with less still.
  const hopeless = new Set<string>()
  const sources = loads.byLoad()
  for (const [index, source] of sources.entries()) {
    if (hopeless.has(source)) continue
    const next = sources[index + 1]
    let moved = false
    do {
      const reached = moveOne(source, loads, able)
      if (reached === undefined) moved = true
      else {
        for (const id of reached) hopeless.add(id)
        break
      }
    } while (next === undefined || loads.of(source) > loads.of(next))
    if (moved) return true
  }
  return false
}

/**
 * Finds the shortest chain of moves from a process to one that has at least two less, and makes them. Answers what could
 * be reached when there is none; undefined when there was.
 */
function moveOne(
  source: string,
  loads: Loads,
  able: ReadonlyMap<AssignablePartition, readonly string[]>,
): Iterable<string> | undefined {
  const most = loads.of(source) - 2
  const reached = new Map<string, Step | undefined>([[source, undefined]])
  for (const [from] of reached) {
    for (const partition of newcomersFirst(loads.heldBy(from), from)) {
      for (const to of able.get(partition) ?? []) {
        if (reached.has(to)) continue
        reached.set(to, { partition, from })
        if (loads.of(to) > most) continue
        follow(reached, to, loads)
        return undefined
      }
    }
  }
  return reached.keys()
}

/** Makes the moves that lead to a process. */
function follow(reached: ReadonlyMap<string, Step | undefined>, last: string, loads: Loads): void {
  for (let to = last, step = reached.get(to); step !== undefined; step = reached.get(to)) {
    loads.give(step.partition, to)
    to = step.from
  }
}

/** What a process does not run yet is moved at no cost. */
function* newcomersFirst(
  held: ReadonlySet<AssignablePartition>,
  id: string,
): Iterable<AssignablePartition> {
  for (const partition of held) if (partition.owner !== id) yield partition
  for (const partition of held) if (partition.owner === id) yield partition
}
