import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  assignPartitions,
  type AssignablePartition,
  type LiveProcess,
} from '../../packages/core/src/listener/leased/assignment.ts'

interface Cluster {
  readonly processes: LiveProcess[]
  readonly partitions: AssignablePartition[]
}

const listeners = ['a', 'b', 'c', 'd', 'e']

/** Processes that can run some listeners in some versions, or all of them, and partitions that some of them own. */
function clusters(alike: boolean): fc.Arbitrary<Cluster> {
  const ids = fc
    .integer({ min: 1, max: 6 })
    .map((n) => Array.from({ length: n }, (_, i) => `p${i}`))
  return ids.chain((names) =>
    fc.record({
      processes: fc.tuple(
        ...names.map((id) =>
          (alike ? fc.constant(listeners) : fc.subarray(listeners, { minLength: 0 })).map(
            (runs) => ({ id, definitions: runs.map((name) => ({ name, version: 1 })) }),
          ),
        ),
      ),
      partitions: fc
        .array(
          fc.record({
            listener: fc.constantFrom(...listeners),
            version: fc.constant(1),
            // Some belonged to a process that is gone.
            owner: fc.constantFrom(...names, 'gone', null),
          }),
          { maxLength: 30 },
        )
        .map((list) =>
          list.map((one, partition) => ({ ...one, generation: 1, partition, live: true })),
        ),
    }),
  )
}

function loads(
  { processes }: Cluster,
  assigned: ReadonlyMap<AssignablePartition, string>,
): number[] {
  return processes.map(({ id }) => [...assigned.values()].filter((owner) => owner === id).length)
}

/** What the next round sees when everybody has done what this one says. */
function afterwards(
  { processes, partitions }: Cluster,
  assigned: ReadonlyMap<AssignablePartition, string>,
): Cluster {
  return {
    processes,
    partitions: partitions.map((one) => ({ ...one, owner: assigned.get(one) ?? null })),
  }
}

test('only processes that can run a partition are given it, and none that somebody can run is left out', () => {
  fc.assert(
    fc.property(clusters(false), (cluster) => {
      const assigned = assignPartitions(cluster.processes, cluster.partitions)
      for (const partition of cluster.partitions) {
        const able = cluster.processes
          .filter(({ definitions }) => definitions.some(({ name }) => name === partition.listener))
          .map(({ id }) => id)
        // Nobody has it, if nobody can run it.
        expect(able.length === 0 ? [undefined] : able).toContain(assigned.get(partition))
      }
    }),
  )
})

test('processes that share a list of definitions are given what they would be given with lists of their own', () => {
  fc.assert(
    fc.property(clusters(true), clusters(false), (alike, different) => {
      const shared = alike.processes[0]?.definitions ?? []
      const processes = [
        ...alike.processes.map(({ id }) => ({ id: `shared ${id}`, definitions: shared })),
        ...different.processes,
      ]
      const copies = processes.map(({ id, definitions }) => ({ id, definitions: [...definitions] }))
      const partitions = [...different.partitions, ...alike.partitions]
      expect([...assignPartitions(processes, partitions)]).toEqual([
        ...assignPartitions(copies, partitions),
      ])
    }),
  )
})

test('a process of another version is given nothing of this one', () => {
  const processes = [{ id: 'old', definitions: [{ name: 'a', version: 1 }] }]
  const partition = { listener: 'a', generation: 2, partition: 0, live: false, owner: null }
  expect(assignPartitions(processes, [{ ...partition, version: 2 }]).size).toBe(0)
  expect(assignPartitions(processes, [{ ...partition, version: 1 }]).size).toBe(1)
})

test('among processes that can run the same, loads differ by one at most', () => {
  fc.assert(
    fc.property(clusters(true), (cluster) => {
      const all = loads(cluster, assignPartitions(cluster.processes, cluster.partitions))
      expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(1)
    }),
  )
})

test('a partition moves only from a process that has more than its share, or that is gone', () => {
  fc.assert(
    fc.property(clusters(true), (cluster) => {
      const { processes, partitions } = cluster
      const assigned = assignPartitions(processes, partitions)
      const share = Math.floor(partitions.length / processes.length)
      for (const { id } of processes) {
        const held = partitions.filter(({ owner }) => owner === id)
        const moved = held.filter((partition) => assigned.get(partition) !== id)
        // It keeps its share at least, or all that it held.
        expect(held.length - moved.length).toBeGreaterThanOrEqual(Math.min(held.length, share))
      }
    }),
  )
})

test('where processes can run different listeners, one makes room for another', () => {
  const definition = (name: string) => ({ name, version: 1 })
  const processes = [
    { id: 'both', definitions: [definition('a'), definition('b')] },
    { id: 'only a', definitions: [definition('a')] },
  ]
  const partition = (listener: string) => ({
    listener,
    version: 1,
    generation: 1,
    partition: 0,
    live: true,
    owner: 'both',
  })
  const [a, b] = [partition('a'), partition('b')]
  expect(assignPartitions(processes, [a, b])).toEqual(
    new Map([
      [a, 'only a'],
      [b, 'both'],
    ]),
  )
})

/** The least sum of the squares of the loads: as even as they can be. By trying everything. */
function mostEven({ processes, partitions }: Cluster): number {
  const able = partitions
    .map(({ listener }) =>
      processes.flatMap(({ definitions }, index) =>
        definitions.some(({ name }) => name === listener) ? [index] : [],
      ),
    )
    .filter((indexes) => indexes.length > 0)
  const counts = processes.map(() => 0)
  const best = (place: number): number => {
    const indexes = able[place]
    if (indexes === undefined) return counts.reduce((sum, count) => sum + count * count, 0)
    return Math.min(
      ...indexes.map((index) => {
        counts[index] = (counts[index] ?? 0) + 1
        const answer = best(place + 1)
        counts[index] = (counts[index] ?? 0) - 1
        return answer
      }),
    )
  }
  return best(0)
}

test('loads are as even as they can be, whatever each process can run', () => {
  const small = clusters(false).filter(
    ({ processes, partitions }) => processes.length <= 4 && partitions.length <= 7,
  )
  fc.assert(
    fc.property(small, (cluster) => {
      const all = loads(cluster, assignPartitions(cluster.processes, cluster.partitions))
      expect(all.reduce((sum, load) => sum + load * load, 0)).toBe(mostEven(cluster))
    }),
    { numRuns: 300 },
  )
})

test.for([true, false])(
  'once everybody has followed it, the assignment stays as it is (alike: %s), so that nothing moves for ever',
  (alike) => {
    fc.assert(
      fc.property(clusters(alike), (cluster) => {
        const { partitions, processes } = afterwards(
          cluster,
          assignPartitions(cluster.processes, cluster.partitions),
        )
        const next = assignPartitions(processes, partitions)
        for (const partition of partitions) {
          expect(next.get(partition) ?? null).toBe(partition.owner)
        }
      }),
      { numRuns: 300 },
    )
  },
)
