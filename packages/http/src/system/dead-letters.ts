import type { App, DeadLetterSelection, EventSequence } from 'tidemark'
import { invalidRequest } from '../answers/problem.ts'
import {
  deadLetterGroupsQuery,
  deadLettersBody,
  deadLettersQuery,
  given,
  sequenceIn,
  type DeadLetterPageQuery,
  type DeadLetterQuery,
  type DeadLettersBody,
} from './queries.ts'
import { route, type Route } from './route.ts'

/** Looking at dead letters, and deciding what becomes of them. */
export const deadLetterRoutes: readonly Route[] = [
  route<DeadLetterPageQuery>({
    method: 'get',
    path: '/dead-letters',
    id: 'listDeadLetters',
    summary: 'List dead letters, by listener and sequence',
    action: 'deadLetters',
    query: deadLettersQuery,
    answer: 'DeadLetters',
    handle: async ({ app, query: { state, after, limit = 100, ...query }, veil: ask }) => {
      const veil = await ask()
      const found = await app.deadLetters.list({
        ...given(query),
        ...(state === undefined ? {} : { states: state }),
        ...(after === undefined ? {} : { after: placeIn(after) }),
        limit: limit + 1,
      })
      const page = found.slice(0, limit)
      const last = page.at(-1)
      return {
        deadLetters: page.map((one) => ({ ...one, error: veil.error(one.error) })),
        next:
          found.length > limit && last !== undefined ? `${last.listener}/${last.sequence}` : null,
      }
    },
  }),
  route<DeadLetterQuery>({
    method: 'get',
    path: '/dead-letter-groups',
    id: 'listDeadLetterGroups',
    summary: 'Dead letters that failed in the same way counted together, the largest group first',
    action: 'deadLetters',
    query: deadLetterGroupsQuery,
    answer: 'DeadLetterGroups',
    handle: async ({ app, query: { state, ...query }, veil: ask }) => {
      const veil = await ask()
      const selection = { ...given(query), ...(state === undefined ? {} : { states: state }) }
      const groups = await app.deadLetters.groups(selection)
      return { groups: groups.map((one) => ({ ...one, error: veil.error(one.error) })) }
    },
  }),
  route({
    method: 'get',
    path: '/dead-letters/{listener}/{sequence}',
    id: 'getDeadLetter',
    summary: 'One dead letter',
    action: 'deadLetters',
    about: 'listener',
    answer: 'DeadLetter',
    handle: async ({ app, path, veil }) => {
      const listener = path['listener'] as string
      const sequence = sequenceIn(path) as EventSequence
      const [found] = await app.deadLetters.list({ listener, sequence })
      if (found !== undefined) return { ...found, error: (await veil()).error(found.error) }
      throw invalidRequest(404, `"${listener}" has not set event ${sequence} aside`)
    },
  }),
  deciding(
    'retry',
    'retryDeadLetters',
    'Have dead letters handled again, in order',
    (app, selection) => app.deadLetters.retry(selection),
  ),
  deciding(
    'discard',
    'discardDeadLetters',
    'Give dead letters up: they stay as a record',
    (app, selection) => app.deadLetters.discard(selection),
  ),
]

function deciding(
  verb: string,
  action: 'retryDeadLetters' | 'discardDeadLetters',
  summary: string,
  work: (app: App, selection: DeadLetterSelection) => Promise<number>,
): Route {
  return route<object, DeadLettersBody>({
    method: 'post',
    path: `/dead-letters/${verb}`,
    id: action,
    summary,
    action,
    body: deadLettersBody,
    answer: 'Decided',
    handle: async ({ app, body: { sequence, ...body } }) => ({
      events: await work(app, {
        ...given(body),
        listener: body.listener,
        ...(sequence === undefined ? {} : { sequence: BigInt(sequence) as EventSequence }),
      }),
    }),
  })
}

/** The listener and the sequence of the last dead letter of a page. */
function placeIn(after: string): { readonly listener: string; readonly sequence: EventSequence } {
  const end = after.lastIndexOf('/')
  return {
    listener: after.slice(0, end),
    sequence: BigInt(after.slice(end + 1)) as EventSequence,
  }
}
