/** An application that is observed from publishing to handling; prints what the SDK was told. */
import { defineApp, defineEvent, defineJob, defineListener, silentLogger } from 'tidemark'
import { z } from 'zod'
import { Sdk } from '../sdk.ts'

const [connectionString = ''] = process.argv.slice(2)
const noted = defineEvent('test.noted', { payload: z.object({ note: z.string() }) })
const ledger = defineListener('ledger', { retry: { attempts: 1 }, onFailure: 'park' }).on(
  noted,
  (event) => {
    if (event.payload.note === 'bad') throw new RangeError('cannot stand it')
  },
)
const mail = defineJob('mail', {
  input: z.object({ to: z.string() }),
  run: (_, ctx) => ctx.step('deliver', () => 'sent'),
})

await using sdk = new Sdk()
{
  await using app = defineApp({ connectionString, modules: [ledger, mail], logger: silentLogger })
  await app.publish(noted({ note: 'good' }))
  const { sequence } = await app.publish(noted({ note: 'bad' }))
  await app.start({ handleSignals: false })
  await app.waitFor(ledger, sequence)
  await (await app.jobs.spawn(mail, { to: 'ada' })).result()
  const metrics = (await sdk.collect()).map(({ descriptor }) => descriptor.name)
  const links = new Set(
    sdk.spans.flatMap((span) =>
      span.name === 'process ledger' ? span.links.map((link) => link.context.spanId) : [],
    ),
  )
  const spawned = sdk.spans.find((span) => span.name === 'spawn mail')
  const attempt = await sdk.spanNamed('job mail')
  const published = sdk.spans.filter((span) => span.name === 'publish test.noted')
  // What the API leaves for its other copies: a library with a newer one would not find this SDK.
  const { version } = Reflect.get(globalThis, Symbol.for('opentelemetry.js.api.1')) as {
    version: string
  }
  console.log(
    JSON.stringify({
      version,
      spans: [...new Set(sdk.spans.map((span) => span.name))].toSorted(),
      linked:
        published.every((span) => links.has(span.spanContext().spanId)) &&
        attempt.links[0]?.context.spanId === spawned?.spanContext().spanId,
      metrics: metrics.toSorted(),
    }),
  )
}
