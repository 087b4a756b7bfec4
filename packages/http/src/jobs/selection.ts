import type { JobFilter } from 'tidemark'
import { denied } from '../access/access.ts'
import type { Veil } from '../access/veil.ts'
import { invalidRequest } from '../answers/problem.ts'
import type { ListQuery } from './requests.ts'

/** What a request says of which jobs it means, and what else it says. */
type Asked = Pick<ListQuery, 'since' | 'path' | 'equals'> & {
  /** A query says it in a text, a body does not. */
  readonly retrying?: boolean | 'true' | 'false' | undefined
}

/**
 * Which jobs a request means, as the library takes it. Who may not see inputs may neither look for them nor count by
 * them: how many there are tells what they hold.
 *
 * @throws TidemarkError TIDEMARK_REQUEST_INVALID or TIDEMARK_REQUEST_DENIED.
 */
export async function selectionOf<T extends Asked>(
  { since, path, equals, retrying, ...others }: T,
  ask: () => Promise<Veil>,
): Promise<Omit<T, keyof Asked> & JobFilter> {
  if (path === undefined && equals !== undefined) {
    throw invalidRequest(400, '`equals` needs a `path`')
  }
  const parts = path?.split('.')
  if (parts !== undefined && (await ask()).hides(parts)) {
    throw denied('you may not search by what you may not see')
  }
  const given = Object.entries(others).filter(([, value]) => value !== undefined)
  return {
    ...(Object.fromEntries(given) as Omit<T, keyof Asked>),
    ...(since === undefined ? {} : { since: new Date(since) }),
    ...(retrying === undefined ? {} : { retrying: retrying === true || retrying === 'true' }),
    ...(parts === undefined
      ? {}
      : { input: { path: parts, ...(equals === undefined ? {} : { equals }) } }),
  }
}
