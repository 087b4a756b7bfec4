import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { refusal } from '../../data/access.ts'
import { apiUrl, Problem, send } from '../../data/client.ts'
import type { JobType } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { CliCommand, quoted } from '../../parts/copy.tsx'
import { TextField } from '../../parts/field.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, Facts, PageHead } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { hasForm, JsonField, SchemaForm } from '../../parts/schema-form.tsx'
import { count, Name } from '../../parts/text.tsx'
import { tell } from '../../parts/toasts.tsx'
import { go, link } from '../../route.ts'
import type { ScreenProps } from '../index.ts'

/** One type of job: what it takes, and a form to spawn one. */
export function SpawnScreen({ path }: ScreenProps): JSX.Element {
  const name = path[0] ?? ''
  const types = useData<{ types: readonly JobType[] }>(apiUrl(['types']), null)
  return (
    <Loaded data={types}>
      {({ types: known }) => {
        const type = known.find((one) => one.name === name)
        if (type === undefined) return <Empty title="No process has ever run this type of job" />
        return (
          <>
            <PageHead
              crumb={{ href: link(['queues']), text: 'Queues & types' }}
              title={<Name of={type.name} />}
              lead={type.description}
            >
              <a class="button" href={link(['jobs'], { name: type.name })}>
                Its jobs
              </a>
            </PageHead>
            <section class="card">
              <div class="body">
                <Facts
                  of={[
                    ['Version', count(type.version)],
                    ['Queue', <Name of={type.queue} />],
                    ['Processes that run it', count(type.processes)],
                  ]}
                />
              </div>
            </section>
            <div class="columns">
              <Card title="Spawn one">
                {type.spawnable ? (
                  <SpawnForm type={type} />
                ) : (
                  <Empty title="It cannot be spawned here">
                    The application that serves this console does not define it, so nothing here can
                    check its input.
                  </Empty>
                )}
              </Card>
              <Card title="Its input, as a JSON Schema">
                <Payload value={type.input} label="schema" />
              </Card>
            </div>
          </>
        )
      }}
    </Loaded>
  )
}

function SpawnForm({ type }: { readonly type: JobType }): JSX.Element {
  const [input, setInput] = useState<unknown>({})
  const [delay, setDelay] = useState('')
  const [uniqueKey, setUniqueKey] = useState('')
  const [error, setError] = useState<Problem | undefined>(undefined)
  const reason = refusal('spawn')
  const spawn = async (): Promise<void> => {
    setError(undefined)
    try {
      const body = {
        input,
        ...(delay === '' ? {} : { delay }),
        ...(uniqueKey === '' ? {} : { uniqueKey }),
      }
      const { id, duplicate } = await send<{ id: string; duplicate: boolean }>(
        'POST',
        ['types', type.name, 'jobs'],
        body,
      )
      tell(duplicate ? 'A job with this unique key was there already.' : 'The job is spawned.')
      go(link(['jobs', id]))
    } catch (failure) {
      if (failure instanceof Problem) setError(failure)
      else tell((failure as Error).message, 'bad')
    }
  }
  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        if (event.currentTarget.checkValidity()) void spawn()
        else event.currentTarget.reportValidity()
      }}
    >
      {hasForm(type.input) ? (
        <SchemaForm
          schema={type.input}
          value={input as Record<string, unknown>}
          onChange={setInput}
        />
      ) : (
        <JsonField label="Input" value={input} onChange={setInput} />
      )}
      <TextField
        label="Delay"
        value={delay}
        placeholder="none"
        help="How long it waits at least: 30s, 5m, 2h"
        onChange={setDelay}
      />
      <TextField
        label="Unique key"
        value={uniqueKey}
        help="At most one unfinished job has it."
        onChange={setUniqueKey}
      />
      {error !== undefined && <Refused problem={error} />}
      <CliCommand
        command={`npx tidemark job spawn ${quoted(type.name)} ${quoted(JSON.stringify(input))}`}
      />
      <div class="buttons">
        <button type="submit" class="button primary" disabled={reason !== undefined} title={reason}>
          Spawn
        </button>
      </div>
    </form>
  )
}

/** What the schema says of the input, place by place. */
function Refused({ problem }: { readonly problem: Problem }): JSX.Element {
  const { issues = [] } = (problem.details ?? {}) as {
    issues?: readonly { readonly path: string; readonly message: string }[]
  }
  return (
    <div class="notice bad" role="alert">
      <strong>{problem.message}</strong>
      {issues.length > 0 ? (
        <ul>
          {issues.map(({ path, message }) => (
            <li key={path}>
              <code>{path}</code>: {message}
            </li>
          ))}
        </ul>
      ) : (
        <p class="hint">{problem.hint}</p>
      )}
    </div>
  )
}
