import type { JSX } from 'preact'
import { apiUrl, read, send } from '../../data/client.ts'
import type { Bulk } from '../../data/types.ts'
import { ActionButton, type Action } from '../../parts/action.tsx'
import { quoted } from '../../parts/copy.tsx'
import { plural } from '../../parts/text.tsx'

type Filter = Readonly<Record<string, string>>
type Verb = 'cancel' | 'retry' | 'delete'

const verbs: readonly {
  readonly verb: Verb
  readonly text: string
  readonly done: string
  readonly of: string
}[] = [
  { verb: 'retry', text: 'Retry', done: 'are tried again', of: 'failed and cancelled' },
  { verb: 'cancel', text: 'Cancel', done: 'are cancelled', of: 'unfinished' },
  { verb: 'delete', text: 'Delete', done: 'are deleted with their history', of: 'finished' },
]

/** What can be done to all jobs of the filter: never before it was said to how many. */
export function BulkButtons({ filter }: { readonly filter: Filter }): JSX.Element {
  return (
    <>
      {verbs.map(({ verb, text, done, of }) => (
        <ActionButton
          key={verb}
          needs={`${verb}Many`}
          text={`${text} …`}
          kind={verb === 'retry' ? '' : 'danger'}
          action={() => prepared(verb, text, done, of, filter)}
        />
      ))}
    </>
  )
}

async function prepared(
  verb: Verb,
  text: string,
  done: string,
  of: string,
  filter: Filter,
): Promise<Action> {
  const given = Object.entries(filter).filter(([, value]) => value !== '')
  const { jobs, complete } = await read<{ jobs: number; complete: boolean }>(
    apiUrl(['bulk-counts', verb], filter),
  )
  const which = given.map(([name, value]) => `${name} ${value}`).join(', ')
  return {
    title: `${text} ${plural(jobs, 'job')}`,
    danger: verb !== 'retry',
    body: (
      <>
        <p>
          Of the {of} jobs {which === '' ? 'of all types' : `with ${which}`},{' '}
          <strong>exactly {plural(jobs, 'job')}</strong> {done}.
        </p>
        {!complete && (
          <p>
            There are more: these are among the 50,000 spawned first. Narrow the filter, or do it
            again for the next ones.
          </p>
        )}
        <p class="quiet">
          {verb === 'delete'
            ? 'Those that change meanwhile are left, and so are those whose parent may still ask for their result.'
            : 'Those that change meanwhile are left as they are.'}
        </p>
      </>
    ),
    ...(complete ? cliOf(verb, given) : {}),
    run: async () => {
      if (jobs === 0) return 'There is no such job.'
      const chosen = given.length === 0 ? { all: true } : bodyOf(given)
      const body = complete ? chosen : { ...chosen, limit: jobs }
      const { done: number, asked, refused } = await send<Bulk>('POST', ['bulk', verb], body)
      return [
        `${plural(number, 'job')} ${done}.`,
        ...(asked > 0 ? [`${plural(asked, 'running job')} asked to stop.`] : []),
        ...(refused > 0 ? [`${plural(refused, 'job')} had gone on meanwhile.`] : []),
      ].join(' ')
    },
  }
}

function bodyOf(given: readonly (readonly [string, string])[]): object {
  return Object.fromEntries(
    given.map(([name, value]) => [
      name,
      name === 'status' ? value.split(',') : name === 'retrying' ? value === 'true' : value,
    ]),
  )
}

const flags: Readonly<Record<string, string>> = {
  uniqueKey: 'unique-key',
  concurrencyKey: 'concurrency-key',
}

/** The same on the command line. */
function cliOf(verb: Verb, given: readonly (readonly [string, string])[]): Pick<Action, 'cli'> {
  const words = given.map(([name, value]) =>
    name === 'retrying' ? '--retrying' : `--${flags[name] ?? name} ${quoted(value)}`,
  )
  return { cli: `npx tidemark job ${verb} ${words.length === 0 ? '--all' : words.join(' ')}` }
}
