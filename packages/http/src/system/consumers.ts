import type { App, EventSequence, ListenerStatus, RebuildProgress } from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { emptyBody } from '../jobs/requests.ts'
import { resetBody, skipBody, type ResetBody } from './queries.ts'
import { route, type Route } from './route.ts'

/** Looking at listeners, relays and intakes, and steering them. */
export const consumerRoutes: readonly Route[] = [
  list('/listeners', 'listListeners', 'All listeners, projections, relays and intakes', undefined),
  list('/relays', 'listRelays', 'All relays', 'relay'),
  list('/intakes', 'listIntakes', 'All intakes', 'intake'),
  route({
    method: 'get',
    path: '/listeners/{listener}',
    id: 'getListener',
    summary: 'One listener, projection, relay or intake with its partitions',
    action: 'listeners',
    about: 'listener',
    answer: 'Listener',
    handle: async ({ app, path, veil }) => one(app, path['listener'] as string, await veil()),
  }),
  steering('pause', 'pauseListener', 'Stop it after the batch under way', (app, name) =>
    app.listeners.pause(name),
  ),
  steering(
    'resume',
    'resumeListener',
    'Let it go on, with the event that it halted on',
    (app, name) => app.listeners.resume(name),
  ),
  route<object, { sequence?: string | undefined }>({
    method: 'post',
    path: '/listeners/{listener}/skip',
    id: 'skipEvent',
    summary: 'Let a halted listener pass the event that it halted on, which becomes a dead letter',
    action: 'skipEvent',
    about: 'listener',
    body: skipBody,
    answer: 'Skipped',
    handle: async ({ app, path, body: { sequence } }) => ({
      skipped: await app.listeners.skip(
        path['listener'] as string,
        sequence === undefined ? undefined : (BigInt(sequence) as EventSequence),
      ),
    }),
  }),
  route<object, ResetBody>({
    method: 'post',
    path: '/listeners/{listener}/reset',
    id: 'resetListener',
    summary: 'Send a listener to another sequence: what comes after it is handled again',
    action: 'resetListener',
    about: 'listener',
    body: resetBody,
    answer: 'Listener',
    handle: async ({ app, path, body: { to = '0', evenPruned = false }, veil }) => {
      const listener = path['listener'] as string
      await app.listeners.reset(listener, BigInt(to) as EventSequence, { evenPruned })
      return one(app, listener, await veil())
    },
  }),
]

function list(
  path: string,
  id: string,
  summary: string,
  kind: ListenerStatus['kind'] | undefined,
): Route {
  return route({
    method: 'get',
    path,
    id,
    summary,
    action: 'listeners',
    answer: 'Listeners',
    handle: async ({ app, veil }) => ({ listeners: await listeners(app, await veil(), kind) }),
  })
}

function steering(
  verb: string,
  action: 'pauseListener' | 'resumeListener',
  summary: string,
  work: (app: App, name: string) => Promise<void>,
): Route {
  return route({
    method: 'post',
    path: `/listeners/{listener}/${verb}`,
    id: action,
    summary,
    action,
    about: 'listener',
    body: emptyBody as never,
    answer: 'Listener',
    handle: async ({ app, path, veil }) => {
      const listener = path['listener'] as string
      await work(app, listener)
      return one(app, listener, await veil())
    },
  })
}

/** Those of a kind, or all, each with the rebuild that is under way. */
export async function listeners(
  app: App,
  veil: Veil,
  kind?: ListenerStatus['kind'],
): Promise<object[]> {
  const found = await app.listeners.list()
  const rebuilds = await app.rebuilds.list()
  return found
    .filter((listener) => kind === undefined || listener.kind === kind)
    .map((listener) => listenerBody(listener, rebuilds, veil))
}

async function one(app: App, name: string, veil: Veil): Promise<object> {
  const listener = await app.listeners.get(name)
  const rebuild = await app.rebuilds.progress(name)
  return listenerBody(listener, rebuild === undefined ? [] : [rebuild], veil)
}

/** A listener as a request may see it. */
export function listenerBody(
  listener: ListenerStatus,
  rebuilds: readonly RebuildProgress[],
  veil: Veil,
): object {
  const rebuild = rebuilds.find(({ projection }) => projection === listener.name)
  return {
    ...listener,
    partitions: listener.partitions.map((partition) => ({
      ...partition,
      lastError: veil.error(partition.lastError),
    })),
    rebuild: rebuild === undefined ? null : rebuildBody(rebuild, veil),
  }
}

/** A rebuild as a request may see it. */
export function rebuildBody(rebuild: RebuildProgress, veil: Veil): object {
  return { ...rebuild, error: veil.error(rebuild.error) }
}
