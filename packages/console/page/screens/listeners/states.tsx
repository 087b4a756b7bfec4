import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { apiUrl } from '../../data/client.ts'
import type { StoredState } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { TextField } from '../../parts/field.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { count, Name, size, summary } from '../../parts/text.tsx'

interface Keys {
  readonly states: readonly StoredState[]
  readonly next: string | null
}

/** What a projection has stored: its one state, or that of each key. */
export function States({ projection }: { readonly projection: string }): JSX.Element {
  const [prefix, setPrefix] = useState('')
  const [after, setAfter] = useState<string | undefined>(undefined)
  const url = apiUrl(['projections', projection, 'keys'], { prefix, after, limit: 25 })
  const keys = useData<Keys>(url, 5_000)
  const keyed =
    prefix !== '' ||
    after !== undefined ||
    keys.value?.states.some(({ key }) => key !== null) === true
  return (
    <Card
      title={keyed ? 'States, by key' : 'State'}
      aside={
        keyed && (
          <TextField
            label="Keys that begin with"
            value={prefix}
            onChange={(value) => {
              setAfter(undefined)
              setPrefix(value)
            }}
          />
        )
      }
    >
      <Loaded data={keys}>
        {({ states, next }) => {
          if (!keyed) return <WholeState projection={projection} />
          if (states.length === 0) return <Empty title="No key begins with that" />
          return (
            <div class="form">
              {states.map((state) => (
                <OneState key={state.key} state={state} />
              ))}
              {next !== null && (
                <div class="buttons">
                  <button type="button" class="button" onClick={() => setAfter(next)}>
                    Next keys
                  </button>
                </div>
              )}
            </div>
          )
        }}
      </Loaded>
    </Card>
  )
}

function OneState({ state }: { readonly state: StoredState }): JSX.Element {
  return (
    <details>
      <summary>
        <strong>
          <Name of={state.key} />
        </strong>{' '}
        <span class="quiet">{state.cut ? size(state.bytes) : summary(state.state)}</span>
      </summary>
      <Stored state={state} />
    </details>
  )
}

function WholeState({ projection }: { readonly projection: string }): JSX.Element {
  const data = useData<StoredState>(apiUrl(['projections', projection, 'state']), 5_000)
  if (data.error !== undefined && data.value === undefined) {
    return (
      <Empty title="It keeps no state here">
        A projection of tables keeps what it derives in its own tables.
      </Empty>
    )
  }
  return <Loaded data={data}>{(state) => <Stored state={state} />}</Loaded>
}

function Stored({ state }: { readonly state: StoredState }): JSX.Element {
  if (state.stateHidden) return <p class="quiet">You may not see it.</p>
  if (state.cut) return <p class="quiet">It is larger than a page shows: {size(state.bytes)}.</p>
  return (
    <div class="form">
      <Payload value={state.state} label={state.key === null ? 'state' : `state of ${state.key}`} />
      <span class="quiet">Up to event {count(state.sequence)}</span>
    </div>
  )
}
