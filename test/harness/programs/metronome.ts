/**
 * Beats in a thread of its own, and tells in shared memory how much of a machine there is: by how much longer than its
 * processor time, and than the sleep before it, each beat took. Who has the machine alone needs exactly that much.
 */
import { workerData } from 'node:worker_threads'

const { shared } = workerData as { readonly shared: SharedArrayBuffer }
const told = new Float64Array(shared)
const sleep = new Int32Array(new SharedArrayBuffer(4))
const [rest, work, most] = [100, 4, 25]

const processorTime = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

for (;;) {
  const began = performance.now()
  Atomics.wait(sleep, 0, 0, rest)
  const before = processorTime()
  let used = 0
  while (used < work) used = processorTime() - before
  const lasted = performance.now() - began
  const slowness = Math.min(most, Math.max(1, (lasted - rest) / used))
  told[0] = (told[0] ?? 0) + lasted / slowness
  told[1] = (told[1] ?? 0) + lasted
  told[2] = Math.max(told[2] ?? 1, slowness)
}
