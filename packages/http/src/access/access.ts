import { BlockList, isIP } from 'node:net'
import { TidemarkError, type JobView } from 'tidemark'

/** Who is at the other end of the connection, as the server that accepted it says. */
export interface Peer {
  /** The address of the socket, as in `socket.remoteAddress`; never what a header says. */
  readonly address?: string | undefined
}

/** What a request wants to do. */
export type JobAction =
  | 'describe'
  | 'types'
  | 'list'
  | 'read'
  | 'spawn'
  | 'cancel'
  | 'pause'
  | 'resume'
  | 'retry'
  | 'signal'
  | 'reprioritise'
  | 'delete'
  /** Many jobs at once, by a selection in the body. */
  | 'cancelMany'
  | 'pauseMany'
  | 'resumeMany'
  | 'retryMany'
  | 'deleteMany'
  /** Looking at schedules, running one, pausing and resuming it, and making, changing and removing it. */
  | 'schedules'
  | 'runSchedule'
  | 'pauseSchedule'
  | 'changeSchedule'
  /** Looking at what is paused, and pausing and resuming queues and types. */
  | 'pauses'
  | 'hold'

/** A request, and what it wants. */
export interface JobAccess {
  /** For its headers: the body has not been read. */
  readonly request: Request
  readonly action: JobAction
  /** The job that it is about; null when it is about none, or about one that does not exist. */
  readonly job: JobView | null
  /** The name of the type of job that it is about, if it is about one. */
  readonly type: string | null
  readonly peer: Peer
}

/** Says whether a request may; with a Response of its own, what is answered instead (a 401, say). */
export type Authorize = (access: JobAccess) => boolean | Response | Promise<boolean | Response>

/** What a request wants to do that is not about jobs. */
export type SystemAction =
  /** Looking. */
  | 'overview'
  | 'doctor'
  | 'events'
  | 'streams'
  | 'listeners'
  | 'projections'
  | 'rebuilds'
  | 'deadLetters'
  | 'processes'
  | 'audit'
  /** Seeing payloads, states, inputs, outputs and stacks in what may be looked at; asked beside the action itself. */
  | 'payloads'
  /** Steering. */
  | 'pauseListener'
  | 'resumeListener'
  | 'skipEvent'
  | 'resetListener'
  | 'resetProjection'
  | 'rebuildProjection'
  | 'pauseRebuild'
  | 'resumeRebuild'
  | 'cancelRebuild'
  | 'retryDeadLetters'
  | 'discardDeadLetters'
  | 'repair'

/** What a request wants to do. */
export type ApiAction = JobAction | SystemAction

const looking = [
  'describe',
  'types',
  'list',
  'read',
  'schedules',
  'pauses',
  'overview',
  'doctor',
  'events',
  'streams',
  'listeners',
  'projections',
  'rebuilds',
  'deadLetters',
  'processes',
  'audit',
] as const satisfies readonly ApiAction[]
const steering = [
  'spawn',
  'cancel',
  'pause',
  'resume',
  'retry',
  'signal',
  'reprioritise',
  'delete',
  'cancelMany',
  'pauseMany',
  'resumeMany',
  'retryMany',
  'deleteMany',
  'runSchedule',
  'pauseSchedule',
  'changeSchedule',
  'hold',
  'pauseListener',
  'resumeListener',
  'skipEvent',
  'resetListener',
  'resetProjection',
  'rebuildProjection',
  'pauseRebuild',
  'resumeRebuild',
  'cancelRebuild',
  'retryDeadLetters',
  'discardDeadLetters',
  'repair',
] as const satisfies readonly ApiAction[]

/** All actions, in the order of reading. */
export const apiActions: readonly ApiAction[] = [...looking, 'payloads', ...steering]

/** What an action is about: changing nothing, seeing payloads, or changing something. */
export type ActionKind = 'look' | 'payloads' | 'steer'

/** What an action is about. */
export function kindOf(action: ApiAction): ActionKind {
  if (action === 'payloads') return 'payloads'
  return (looking as readonly ApiAction[]).includes(action) ? 'look' : 'steer'
}

/** What a request is about, when that has a name. */
export interface Subject {
  readonly kind:
    | 'event'
    | 'stream'
    | 'listener'
    | 'projection'
    | 'dead letter'
    | 'job'
    | 'job type'
    | 'queue'
    | 'schedule'
  /** Its name; of an event its sequence, of a job its id. */
  readonly name: string
}

/** A request, and what it wants. */
export interface ApiAccess extends Omit<JobAccess, 'action'> {
  readonly action: ApiAction
  readonly kind: ActionKind
  /** Null when it is about many things, or about none. */
  readonly subject: Subject | null
}

/** Says whether a request may; with a Response of its own, what is answered instead (a 401, say). */
export type AuthorizeApi = (access: ApiAccess) => boolean | Response | Promise<boolean | Response>

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether an address is one of this machine's own. */
function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = address.replace(/^::ffff:/iu, '')
  const family = isIP(plain)
  return family !== 0 && loopback.check(plain, family === 6 ? 'ipv6' : 'ipv4')
}

const forwarded = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via']

/**
 * What is allowed without a hook: everything to clients on this machine, nothing to others.
 *
 * A request that a proxy on this machine passes on comes from this machine, too: the headers that proxies add refuse
 * it. And so does a name in the URL that is not this machine's: a foreign page can let its own name point here.
 */
export function authorizeLoopback({ request, peer }: Pick<JobAccess, 'request' | 'peer'>): boolean {
  const name = new URL(request.url).hostname.replace(/^\[(.*)\]$/u, '$1')
  const local = name === 'localhost' || name.endsWith('.localhost') || isLoopback(name)
  return (
    isLoopback(peer.address) && local && forwarded.every((header) => !request.headers.has(header))
  )
}

/** The error of a request that is not allowed. */
export function denied(message: string, hint?: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_REQUEST_DENIED',
    message,
    hint === undefined ? undefined : { hint },
  )
}
