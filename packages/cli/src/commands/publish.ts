import type { Command } from 'commander'
import {
  parseJson as parseExactly,
  valueFromJson,
  type App,
  type EventSequence,
  type PublishOptions,
} from 'tidemark'
import { expectedVersionArgument } from '../arguments/arguments.ts'
import { parseJson } from '../arguments/json-argument.ts'
import { usageError } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { reading } from '../output/rows.ts'
import type { Definitions } from '../session/definitions.ts'

interface Options {
  readonly stream?: string
  readonly expectedVersion?: bigint | 'none' | 'any'
  readonly key?: string
  readonly idempotencyKey?: string
}

/** `tidemark publish` */
export function addPublish(parent: Command, context: Context): void {
  parent
    .command('publish')
    .description(
      "Publish one event. The config's definition checks the payload; without a config nothing does.",
    )
    .argument('<type>', 'the type of the event')
    .argument('<payload>', 'the payload as JSON; - reads it from standard input')
    .option('--stream <stream>', 'the stream to append to')
    .option(
      '--expected-version <version>',
      'the version the stream must be at: a number, none or any (default: any)',
      expectedVersionArgument,
    )
    .option('--key <key>', 'the ordering key (default: the stream)')
    .option('--idempotency-key <key>', 'refuse the event if this key was ever used')
    .action(
      running<Options, [string, string]>(
        context,
        async ({ options, session, output, io }, type, given) => {
          const text = given === '-' ? await io.stdin() : given
          const payload = parseJson('the payload', text, parseExactly)
          const { stream, expectedVersion = 'any' } = options
          if (expectedVersion !== 'any' && stream === undefined) {
            throw usageError('--expected-version needs --stream')
          }
          const definitions = await session.definitions()
          const app = await session.app()
          const validated = definitions !== undefined
          const sequence = validated
            ? await publishDefined(app, definitions, type, payload, publishOptions(options))
            : await publishBySql(app, type, text, options)
          output.result({ type, sequence, validated }, () => `Published ${type} as ${sequence}.`)
          if (validated) return
          const { yellow } = output.stderrColors
          output.note(
            `${yellow('warning:')} no config was loaded: the payload was not validated, and no inline projection has seen the event`,
          )
        },
      ),
    )
}

function publishOptions(options: Options): PublishOptions {
  const { stream, expectedVersion, key, idempotencyKey } = options
  return {
    ...(stream === undefined ? {} : { stream }),
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
    ...(key === undefined ? {} : { key }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  }
}

async function publishDefined(
  app: App,
  { events }: Definitions,
  type: string,
  payload: unknown,
  options: PublishOptions,
): Promise<EventSequence> {
  const definition = events.get(type)
  if (definition === undefined) {
    throw usageError(
      `the config defines no event "${type}"`,
      `It defines ${[...events.keys()].toSorted().join(', ') || 'none'}. --no-config publishes without a check.`,
    )
  }
  const draft = definition(valueFromJson(definition.schema, payload) as never)
  return (await app.publish(draft, options)).sequence
}

function publishBySql(
  app: App,
  type: string,
  payload: string,
  { stream, expectedVersion, key, idempotencyKey }: Options,
): Promise<EventSequence> {
  const expected = expectedVersion === 'none' ? 0n : expectedVersion
  const expectedNumber = typeof expected === 'bigint' ? expected : null
  return reading(app, async (query) => {
    const [row] = await query<{ sequence: string }>(
      `SELECT "${app.schema}".publish(type => $1, payload => $2::jsonb, stream => $3, expected_version => $4::bigint,
         key => $5, idempotency_key => $6) AS sequence`,
      [type, payload, stream ?? null, expectedNumber, key ?? null, idempotencyKey ?? null],
    )
    return BigInt(row?.sequence ?? 0) as EventSequence
  })
}
