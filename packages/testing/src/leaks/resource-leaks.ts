/** How many of each kind of resource keep this process running. Timers are watched one by one. */
export type ResourceCounts = ReadonlyMap<string, number>

/** The kinds that outlive a call unless somebody ends them, in Node's words and in ours. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['TCPSocketWrap', 'TCP socket'],
  ['TCPServerWrap', 'TCP server'],
  ['TLSWrap', 'TLS socket'],
  ['PipeWrap', 'pipe'],
  ['PipeServerWrap', 'pipe server'],
  ['UDPWrap', 'UDP socket'],
  ['ProcessWrap', 'child process'],
  ['FSEventWrap', 'file watcher'],
  ['StatWatcher', 'file watcher'],
  ['Worker', 'worker thread'],
])

/** Counts what keeps this process running now. What was unreferenced does not count. */
export function countResources(): ResourceCounts {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) {
    if (KINDS.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return counts
}

/** What there is more of than there was. */
export function findResourceLeaks(before: ResourceCounts): readonly string[] {
  const leaks: string[] = []
  for (const [kind, count] of countResources()) {
    const more = count - (before.get(kind) ?? 0)
    if (more <= 0) continue
    const name = KINDS.get(kind) ?? kind
    leaks.push(`${more} ${name}${more === 1 ? '' : 's'} more than before the test (${kind})`)
  }
  return leaks
}
