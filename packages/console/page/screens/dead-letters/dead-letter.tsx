import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { DeadLetter, StoredEvent } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { ErrorNotice } from '../../parts/error.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, Facts, PageHead } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { count, Name } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import type { ScreenProps } from '../index.ts'
import { DeadLetterActions } from './decisions.tsx'

/** One dead letter, with its error and its event. */
export function DeadLetterScreen({ path }: ScreenProps): JSX.Element {
  const [listener = '', sequence = ''] = path
  const letter = useData<DeadLetter>(apiUrl(['dead-letters', listener, sequence]))
  const event = useData<{ event: StoredEvent }>(apiUrl(['events', sequence]), null)
  return (
    <Loaded data={letter}>
      {(found) => (
        <>
          <PageHead
            crumb={{
              href: link(['dead-letters'], { listener }),
              text: `Dead letters of ${listener}`,
            }}
            title={
              <>
                <Name of={found.type} />{' '}
                <Badge state={found.state === 'skipped' ? 'given up' : found.state} />
              </>
            }
          >
            <DeadLetterActions
              selection={{ listener: found.listener, sequence: found.sequence }}
              what="is"
              letters={found.state === 'parked' || found.state === 'waiting' ? 1 : 0}
            />
          </PageHead>
          {found.error !== null && <ErrorNotice error={found.error} />}
          <section class="card">
            <div class="body">
              <Facts
                of={[
                  [
                    'Set aside by',
                    <a href={link(['listeners', found.listener])}>
                      <Name of={found.listener} />
                    </a>,
                  ],
                  ['Event', <a href={link(['events', found.sequence])}>{count(found.sequence)}</a>],
                  ['Set aside', <Time at={found.createdAt} />],
                  ['Attempts', count(found.attempts)],
                  ['Ordering key', <Name of={found.key} />],
                  ['Its key', found.holdsKey ? 'later events wait behind it' : 'goes on'],
                ]}
              />
            </div>
          </section>
          <Card title="Payload">
            <Loaded data={event}>
              {({ event: stored }) =>
                stored.payloadHidden || stored.payloadCut ? (
                  <Empty
                    title={
                      stored.payloadHidden ? 'You may not see it' : 'It is larger than a page shows'
                    }
                  />
                ) : (
                  <Payload value={stored.payload} label="payload" />
                )
              }
            </Loaded>
          </Card>
        </>
      )}
    </Loaded>
  )
}
