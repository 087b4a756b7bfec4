/** The partition of a key: events with the same key stay in order. */
export function partitionOf(key: string, partitions: number): number {
  return hash(key) % partitions
}

// FNV-1a with a final mix: stable across processes and versions, which a cursor depends on.
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
