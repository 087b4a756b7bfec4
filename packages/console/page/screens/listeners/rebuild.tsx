import type { JSX } from 'preact'
import { send } from '../../data/client.ts'
import type { Rebuild } from '../../data/types.ts'
import { ActionButton } from '../../parts/action.tsx'
import { Badge } from '../../parts/badge.tsx'
import { quoted } from '../../parts/copy.tsx'
import { ErrorNotice } from '../../parts/error.tsx'
import { Card, Facts } from '../../parts/page.tsx'
import { count } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { duration } from '../../time.ts'

export function RebuildBar({ rebuild }: { readonly rebuild: Rebuild }): JSX.Element {
  const percent = Math.round(rebuild.fraction * 100)
  return (
    <div>
      <div
        class="progress"
        role="progressbar"
        aria-label={`Rebuild of ${rebuild.projection}`}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <span style={{ '--done': String(rebuild.fraction) }} />
      </div>
      <span class="quiet number">{percent} %</span>
    </div>
  )
}

/** A rebuild under way, which the live projection knows nothing of. */
export function RebuildCard({ rebuild }: { readonly rebuild: Rebuild }): JSX.Element {
  const { projection, state } = rebuild
  return (
    <Card
      title="Rebuild"
      aside={
        <div class="buttons">
          {state === 'running' ? (
            <Steering
              name={projection}
              verb="pause"
              text="Pause rebuild"
              says="It stops, keeps what it has, and goes on when it is resumed."
            />
          ) : (
            <Steering
              name={projection}
              verb="resume"
              text="Resume rebuild"
              says="It goes on where it stopped."
            />
          )}
          <Steering
            name={projection}
            verb="cancel"
            text="Cancel rebuild"
            says="What it has derived is thrown away. The live projection is untouched."
            danger
          />
        </div>
      }
    >
      <div class="form">
        <RebuildBar rebuild={rebuild} />
        <Facts
          of={[
            ['State', <Badge state={state} />],
            ['At', `${count(rebuild.cursor)} of ${count(rebuild.liveCursor)}`],
            ['Rate', `${count(Math.round(rebuild.rate))} sequences/s`],
            ['Left', rebuild.secondsLeft === null ? '–' : duration(rebuild.secondsLeft * 1000)],
            ['Started', <Time at={rebuild.startedAt} />],
            ['New version', String(rebuild.version)],
            ['Set aside', `${count(rebuild.setAside)}, live ${count(rebuild.liveSetAside)}`],
          ]}
        />
        {rebuild.error !== null && <ErrorNotice error={rebuild.error} />}
      </div>
    </Card>
  )
}

function Steering({
  name,
  verb,
  text,
  says,
  danger = false,
}: {
  readonly name: string
  readonly verb: 'pause' | 'resume' | 'cancel'
  readonly text: string
  readonly says: string
  readonly danger?: boolean
}): JSX.Element {
  return (
    <ActionButton
      needs={`${verb}Rebuild`}
      text={text}
      kind={danger ? 'danger' : ''}
      action={() => ({
        title: text,
        body: says,
        danger,
        cli: `npx tidemark projection ${verb} ${quoted(name)}${danger ? ' --yes' : ''}`,
        run: async () => {
          await send('POST', ['rebuilds', name, verb])
          return verb === 'cancel' ? 'The rebuild is given up.' : `The rebuild is ${verb}d.`
        },
      })}
    />
  )
}
