import type { App, StoredState } from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { invalidRequest } from '../answers/problem.ts'
import { emptyBody } from '../jobs/requests.ts'
import { listenerBody, listeners, rebuildBody } from './consumers.ts'
import {
  given,
  keysQuery,
  resetProjectionBody,
  stateQuery,
  type NamesQuery,
  type ResetBody,
  type StateQuery,
} from './queries.ts'
import { route, type Route } from './route.ts'

const listedBytes = 4_096
const wholeBytes = 262_144

/** Looking at projections, what they have stored and their rebuilds, and steering them. */
export const projectionRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/projections',
    id: 'listProjections',
    summary: 'All projections',
    action: 'projections',
    answer: 'Listeners',
    handle: async ({ app, veil }) => ({
      listeners: await listeners(app, await veil(), 'projection'),
    }),
  }),
  route<StateQuery>({
    method: 'get',
    path: '/projections/{projection}/state',
    id: 'getProjectionState',
    summary: 'What a projection has stored, or what it has stored for a key',
    action: 'projections',
    about: 'projection',
    query: stateQuery,
    answer: 'State',
    handle: async ({ app, path, query, veil }) => {
      const projection = path['projection'] as string
      const options = { ...given(query), stateLimit: wholeBytes }
      const state = await app.projections.state(projection, options)
      if (state !== undefined) return stateBody(projection, state, await veil())
      throw invalidRequest(
        404,
        `"${projection}" has stored nothing${query.key === undefined ? '' : ' for this key'}`,
        'A keyed projection has a state for each key; one with tables of its own keeps none here.',
      )
    },
  }),
  route<NamesQuery>({
    method: 'get',
    path: '/projections/{projection}/keys',
    id: 'listProjectionKeys',
    summary: 'The keys of a keyed projection and their states, by key',
    action: 'projections',
    about: 'projection',
    query: keysQuery,
    answer: 'States',
    handle: async ({ app, path, query, veil: ask }) => {
      const veil = await ask()
      const projection = path['projection'] as string
      const { limit = 100, ...rest } = query
      const page = { ...given(rest), limit: limit + 1, stateLimit: listedBytes }
      const found = await app.projections.keys(projection, page)
      const states = found.slice(0, limit)
      return {
        states: states.map((state) => stateBody(projection, state, veil)),
        next: found.length > limit ? states.at(-1)?.key : null,
      }
    },
  }),
  route<object, Omit<ResetBody, 'to'>>({
    method: 'post',
    path: '/projections/{projection}/reset',
    id: 'resetProjection',
    summary: 'Empty a projection and derive it again in place: readers see it grow',
    action: 'resetProjection',
    about: 'projection',
    body: resetProjectionBody,
    answer: 'Listener',
    handle: async ({ app, path, body: { evenPruned = false }, veil }) => {
      const name = path['projection'] as string
      await app.reset({ name }, { evenPruned })
      return listenerBody(await app.listeners.get(name), [], await veil())
    },
  }),
  route({
    method: 'post',
    path: '/projections/{projection}/rebuild',
    id: 'rebuildProjection',
    summary:
      'Derive a projection again beside the live one, which it replaces when it has caught up',
    action: 'rebuildProjection',
    about: 'projection',
    body: emptyBody as never,
    answer: 'RebuildStarted',
    handle: async ({ app, path, veil }) => {
      const name = path['projection'] as string
      await app.rebuild({ name })
      const rebuild = await app.rebuilds.progress(name)
      // Null: it has been switched already.
      return { rebuild: rebuild === undefined ? null : rebuildBody(rebuild, await veil()) }
    },
  }),
  route({
    method: 'get',
    path: '/rebuilds',
    id: 'listRebuilds',
    summary: 'All rebuilds under way',
    action: 'rebuilds',
    answer: 'Rebuilds',
    handle: async ({ app, veil: ask }) => {
      const veil = await ask()
      return { rebuilds: (await app.rebuilds.list()).map((one) => rebuildBody(one, veil)) }
    },
  }),
  route({
    method: 'get',
    path: '/rebuilds/{projection}',
    id: 'getRebuild',
    summary: 'The rebuild of a projection',
    action: 'rebuilds',
    about: 'projection',
    answer: 'Rebuild',
    handle: async ({ app, path, veil }) => {
      const projection = path['projection'] as string
      const rebuild = await app.rebuilds.progress(projection)
      if (rebuild !== undefined) return rebuildBody(rebuild, await veil())
      throw invalidRequest(404, `"${projection}" is not being rebuilt`)
    },
  }),
  steering('pause', 'pauseRebuild', 'Stop a rebuild, which keeps what it has', (app, name) =>
    app.rebuilds.pause(name),
  ),
  steering('resume', 'resumeRebuild', 'Let a paused or halted rebuild go on', (app, name) =>
    app.rebuilds.resume(name),
  ),
  steering('cancel', 'cancelRebuild', 'Give a rebuild up: the live one is untouched', (app, name) =>
    app.rebuilds.cancel(name),
  ),
]

function steering(
  verb: string,
  action: 'pauseRebuild' | 'resumeRebuild' | 'cancelRebuild',
  summary: string,
  work: (app: App, projection: string) => Promise<void>,
): Route {
  return route({
    method: 'post',
    path: `/rebuilds/{projection}/${verb}`,
    id: action,
    summary,
    action,
    about: 'projection',
    body: emptyBody as never,
    answer: 'RebuildStarted',
    handle: async ({ app, path, veil }) => {
      const projection = path['projection'] as string
      await work(app, projection)
      const rebuild = await app.rebuilds.progress(projection)
      return { rebuild: rebuild === undefined ? null : rebuildBody(rebuild, await veil()) }
    },
  })
}

function stateBody(projection: string, stored: StoredState, veil: Veil): object {
  return {
    ...stored,
    state: veil.payload('projection', projection, stored.state),
    stateMeta: veil.beside(stored.stateMeta),
    stateHidden: !veil.open,
  }
}
