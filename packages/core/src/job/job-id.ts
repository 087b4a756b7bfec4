import { createHash, getRandomValues } from 'node:crypto'

/** A new id that begins with the time: neighbours in time are neighbours in the index (UUID version 7, RFC 9562). */
export function newJobId(): string {
  return format(Date.now(), getRandomValues(new Uint8Array(10)), 7)
}

/** An id that is always the same for the same seed (UUID version 8). It begins with a time too. */
export function repeatableJobId(seed: string, at: Date): string {
  return format(at.getTime(), createHash('sha256').update(seed).digest().subarray(0, 10), 8)
}

function format(time: number, bytes: Uint8Array, version: number): string {
  const tail = Uint8Array.from(bytes)
  tail[0] = ((tail[0] as number) & 0x0f) | (version << 4)
  tail[2] = ((tail[2] as number) & 0x3f) | 0x80
  const hex = time.toString(16).padStart(12, '0') + Buffer.from(tail).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
