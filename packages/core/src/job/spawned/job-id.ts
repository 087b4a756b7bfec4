import { createHash, getRandomValues } from 'node:crypto'
import type { SpawnSeed } from '../../listener/declared/spawning.ts'

// Drawn for many ids at once: a call for each costs more than all the rest of making one.
const pool = new Uint8Array(4096)
let used = pool.length

function randomTail(): Uint8Array {
  if (used === pool.length) {
    getRandomValues(pool)
    used = 0
  }
  used += 8
  return pool.slice(used - 8, used)
}

let lastTime = 0
let counter = 0

/**
 * A new id that begins with the time, and with a counter within the millisecond: ids of one process are in the order
 * of their making, and neighbours in time are neighbours in the index (UUID version 7, RFC 9562, method 1).
 */
export function newJobId(): string {
  const now = Date.now()
  counter = now > lastTime ? 0 : counter + 1
  // A clock that stands still or goes back, and more than 4,096 in a millisecond: the ids run ahead of it.
  lastTime = now > lastTime ? now : lastTime + (counter > 0xfff ? 1 : 0)
  counter &= 0xfff
  return format(lastTime, counter, 7, randomTail())
}

/**
 * An id that is always the same for the same seed (UUID version 8). It begins with the time of the event and its
 * place in the order, so that jobs of one listener run in the order of their events.
 */
export function repeatableJobId({ seed, at, order = 0, index = 0 }: SpawnSeed): string {
  const bytes = Uint8Array.from(createHash('sha256').update(seed).digest().subarray(0, 8))
  bytes[0] = Math.min(index, 0x3f)
  return format(at.getTime(), order & 0xfff, 8, bytes)
}

function format(time: number, order: number, version: number, tail: Uint8Array): string {
  tail[0] = ((tail[0] as number) & 0x3f) | 0x80
  const end = Buffer.from(tail).toString('hex')
  const start = time.toString(16).padStart(12, '0')
  const middle = `${version}${order.toString(16).padStart(3, '0')}`
  return `${start.slice(0, 8)}-${start.slice(8)}-${middle}-${end.slice(0, 4)}-${end.slice(4)}`
}
