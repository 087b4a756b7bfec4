import type { RebuildProgress } from 'tidemark'
import { count } from './output.ts'

/** How far a rebuild has come, in a few words. */
export function rebuildText(rebuild: RebuildProgress | null): string | null {
  if (rebuild === null) return null
  const { state, fraction, rate, secondsLeft, setAside } = rebuild
  const without = setAside === 0 ? '' : `, without ${count(setAside)} set aside`
  const percent = `${(Math.floor(fraction * 1000) / 10).toFixed(1)} %${without}`
  if (state !== 'running') return `${state} at ${percent}`
  const speed = `${count(Math.round(rate))}/s`
  return secondsLeft === null
    ? `${percent}, ${speed}`
    : `${percent}, ${speed}, ${durationText(secondsLeft)} left`
}

/** Seconds as people say them: `45 s`, `3 min`, `2 h 5 min`. */
function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
