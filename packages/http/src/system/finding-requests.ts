import type { FindingAction, FindingActionName } from 'tidemark'
import type { ApiAction } from '../access/access.ts'

/** The request that does what is offered for a finding: it is checked and recorded like any other of its route. */
interface FindingRequest {
  /** What the hook `authorize` is asked. */
  readonly needs: ApiAction
  readonly method: 'POST'
  /** Below the base path, without a slash before it; each part is encoded. */
  readonly path: string
  readonly body: object
}

const requests: Readonly<
  Record<
    FindingActionName,
    readonly [needs: ApiAction, path: (name: string) => string, body?: object]
  >
> = {
  resumeListener: ['resumeListener', (name) => `listeners/${name}/resume`],
  resumeRebuild: ['resumeRebuild', (name) => `rebuilds/${name}/resume`],
  retryDeadLetters: [
    'retryDeadLetters',
    () => 'dead-letters/retry',
    { states: ['parked', 'waiting'] },
  ],
  resumeQueue: ['hold', (name) => `queues/${name}/resume`],
  resumeType: ['hold', (name) => `types/${name}/resume`],
  runSchedule: ['runSchedule', (name) => `schedules/${name}/run`],
  repair: ['repair', () => 'repair'],
}

/** How a client does what is offered for a finding. */
export function requestFor({ action, name, count }: FindingAction): FindingRequest {
  const [needs, path, body = {}] = requests[action]
  return {
    needs,
    method: 'POST',
    path: path(encodeURIComponent(name ?? '')),
    body: action === 'retryDeadLetters' ? { ...body, listener: name, limit: count } : body,
  }
}
