/** A process that is alive, and what it can run. */
export interface LiveProcess {
  readonly id: string
  readonly definitions: readonly {
    readonly name: string
    readonly version: number
    /** The types of event that it handles. */
    readonly types?: readonly string[]
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
  /** Who holds its lease now, if anybody does. */
  readonly owner: string | null
}

/**
 * Decides which process runs which partition. Every process computes it from the same rows and acts on its own
 * part; leases keep them apart while they disagree.
 *
 * Loads differ by one at most, as far as the processes can run the same listeners, and a partition stays with its
 * owner unless that owner has more than its share.
 */
export function assignPartitions(
  processes: readonly LiveProcess[],
  partitions: readonly AssignablePartition[],
): ReadonlyMap<AssignablePartition, string> {
  const runs = new Map(
    processes.map((process) => [
      process.id,
      new Map(
        process.definitions.map(({ name, version, types = [] }) => [
          `${name}@${version}`,
          new Set(types),
        ]),
      ),
    ]),
  )
  const canRun = (id: string, { listener, version, types }: AssignablePartition): boolean => {
    const known = runs.get(id)?.get(`${listener}@${version}`)
    return known !== undefined && (types ?? []).every((type) => known.has(type))
  }
  const quotas = fairQuotas(processes, partitions)
  const loads = new Map(processes.map((process) => [process.id, 0]))
  const assigned = new Map<AssignablePartition, string>()
  const give = (partition: AssignablePartition, id: string): void => {
    assigned.set(partition, id)
    loads.set(id, (loads.get(id) ?? 0) + 1)
  }

  for (const partition of partitions) {
    const { owner } = partition
    if (owner === null || !canRun(owner, partition)) continue
    if ((loads.get(owner) ?? 0) < (quotas.get(owner) ?? 0)) give(partition, owner)
  }
  for (const partition of partitions) {
    if (assigned.has(partition)) continue
    let least: string | undefined
    for (const { id } of processes) {
      if (!canRun(id, partition)) continue
      if (least === undefined || (loads.get(id) ?? 0) < (loads.get(least) ?? 0)) least = id
    }
    if (least !== undefined) give(partition, least)
  }
  return assigned
}

/** An equal share for each process; what is left over goes to those who hold the most already. */
function fairQuotas(
  processes: readonly LiveProcess[],
  partitions: readonly AssignablePartition[],
): ReadonlyMap<string, number> {
  const held = new Map(processes.map((process) => [process.id, 0]))
  for (const { owner } of partitions) {
    if (owner !== null && held.has(owner)) held.set(owner, (held.get(owner) ?? 0) + 1)
  }
  const share = Math.floor(partitions.length / Math.max(1, processes.length))
  const left = partitions.length - share * processes.length
  const byHeld = processes.toSorted((a, b) => (held.get(b.id) ?? 0) - (held.get(a.id) ?? 0))
  return new Map(byHeld.map((process, index) => [process.id, share + (index < left ? 1 : 0)]))
}
