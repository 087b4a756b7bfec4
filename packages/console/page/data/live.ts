import { signal } from '@preact/signals'
import { apiUrl, Problem } from './client.ts'
import { whenReleased } from './pressed.ts'
import type { Overview } from './types.ts'

/** How things stand, as the server tells it about once a second; undefined before it has. */
export const overview = signal<Overview | undefined>(undefined)
/** Why it is not told, or was not the last time; undefined: it is. */
export const silence = signal<Error | undefined>(undefined)
/** Whether the server is heard. */
export const connection = signal<'live' | 'connecting' | 'lost'>('connecting')

/** Tells everything that is shown that a moment has passed: it may look again. */
const beats = new EventTarget()

// In milliseconds. While nothing is heard, what is shown is looked at as seldom as a connection is tried.
const firstPause = 1_000
const longestPause = 20_000

let source: EventSource | undefined
let timer: ReturnType<typeof setTimeout> | undefined
let pause = firstPause

/** Calls back with each beat; answers how to stop. */
export function onBeat(listener: () => void): () => void {
  beats.addEventListener('beat', listener)
  return () => beats.removeEventListener('beat', listener)
}

/** Listens to the server for as long as the page can be seen. */
export function followServer(): void {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) leave()
    else connect()
  })
  // A page that is left may be kept for when somebody goes back to it: without a connection.
  addEventListener('pagehide', leave)
  addEventListener('pageshow', connect)
  connect()
}

function connect(): void {
  if (source !== undefined || document.hidden) return
  clearTimeout(timer)
  connection.value = 'connecting'
  source = new EventSource(apiUrl(['overview', 'stream']))
  source.addEventListener('overview', ({ data }: MessageEvent<string>) => {
    pause = firstPause
    connection.value = 'live'
    void show(JSON.parse(data) as Overview)
  })
  source.addEventListener('problem', ({ data }: MessageEvent<string>) => {
    const problem = JSON.parse(data) as Record<string, unknown>
    silence.value = new Problem(Number(problem['status']), problem)
    connection.value = 'lost'
    beat()
  })
  source.addEventListener('error', () => {
    connection.value = 'lost'
    // The browser connects again by itself, but where it was refused.
    if (source?.readyState === EventSource.CLOSED) retry()
  })
}

async function show(told: Overview): Promise<void> {
  await whenReleased()
  overview.value = told
  silence.value = undefined
  beat()
}

function retry(): void {
  leave()
  silence.value ??= new Error('the server does not say how things stand')
  timer = setTimeout(() => {
    beat()
    connect()
  }, pause)
  pause = Math.min(longestPause, pause * 2)
}

function leave(): void {
  clearTimeout(timer)
  source?.close()
  source = undefined
}

function beat(): void {
  beats.dispatchEvent(new Event('beat'))
}
