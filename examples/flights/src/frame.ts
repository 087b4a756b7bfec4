import colors from 'picocolors'
import type { Dashboard } from './dashboard.ts'

/** What the view shows of one moment. */
export interface Moment {
  /** Since the start, in milliseconds. */
  readonly elapsed: number
  readonly published: number
  readonly count: number
  /** Flights per second. */
  readonly publishing: number
  readonly rollbacks: number
  readonly listeners: readonly ListenerLine[]
  readonly dashboard: Dashboard
  readonly vouchers: number
}

/** What the view shows of a listener. */
interface ListenerLine {
  readonly name: string
  /** Its worker; null while nobody runs it. */
  readonly owner: string | null
  readonly lag: bigint
  /** Sequences per second. */
  readonly rate: number
}

const format = new Intl.NumberFormat('en')

/** A whole number with commas. */
export function say(value: number | bigint): string {
  return format.format(typeof value === 'number' ? Math.round(value) : value)
}

/** Seconds since the start, as a column. */
export function clock(elapsed: number): string {
  return `${(elapsed / 1000).toFixed(1).padStart(5)} s`
}

/** The moment as a few lines that replace each other. */
export function frame(moment: Moment): string {
  const { listeners, published, count, publishing, rollbacks } = moment
  return [
    '',
    `${bar(published / count)}  ${say(published)} of ${say(count)} flights  ${say(publishing)}/s  ${say(rollbacks)} rolled back`,
    '',
    colors.dim(row('listener', 'run by', 'behind', 'handles')),
    ...listeners.map(({ name, owner, lag, rate }) => {
      const line = row(name, owner ?? 'nobody', say(lag), `${say(rate)}/s`)
      return owner === null ? colors.yellow(line) : line
    }),
    '',
    delays(moment),
  ].join('\n')
}

/** The moment as one line. */
export function summary(moment: Moment): string {
  const { listeners, published, count, publishing, vouchers } = moment
  const behind = listeners.map(({ name, owner, lag }) => {
    return `${name} ${say(lag)}${owner === null ? ' (run by nobody)' : ''}`
  })
  return `${say(published)} of ${say(count)} flights at ${say(publishing)}/s; behind: ${behind.join(', ')}; ${say(vouchers)} vouchers`
}

function delays({ dashboard: { flights, late, minutes, longest }, vouchers }: Moment): string {
  const mean = flights === 0 ? 0 : minutes / flights
  return `delays  mean ${mean.toFixed(1)} min   late ${say(late)}   longest ${say(longest)} min   vouchers ${say(vouchers)}`
}

function row(name: string, owner: string, lag: string, rate: string): string {
  return `${name.padEnd(12)}${owner.padEnd(20)}${lag.padStart(9)}${rate.padStart(12)}`
}

const width = 24

function bar(share: number): string {
  const filled = Math.round(Math.min(1, share) * width)
  return colors.cyan('█'.repeat(filled)) + colors.dim('░'.repeat(width - filled))
}
