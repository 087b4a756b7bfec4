import { InvalidArgumentError, type Command } from 'commander'
import type { App, DeadLetter, DeadLetterSelection, EventSequence } from 'tidemark'
import { usageError } from '../cli-error.ts'
import { countArgument, sequenceArgument } from './arguments.ts'

/** How dead letters are chosen on the command line. */
export interface ChoiceOptions {
  readonly key?: string
  readonly group?: string
  readonly all?: boolean
  readonly limit: number
}

/** Adds the arguments and options that choose dead letters of one listener. */
export function withChoice(command: Command): Command {
  return command
    .argument('<listener>', 'the listener or projection')
    .argument('[sequence]', 'the event, by its sequence', sequenceArgument)
    .option('--key <key>', 'those of events with this ordering key')
    .option('--group <group>', 'those that failed in one way, as `groups` names it', groupArgument)
    .option('--all', 'all that are not given up')
    .option('--limit <count>', 'the most, from the lowest sequence up', countArgument, 1000)
}

/** Which dead letters the arguments mean: one, those of a key, or all; never all by an omission. */
export function chosen(
  listener: string,
  sequence: EventSequence | undefined,
  { key, group, all, limit }: ChoiceOptions,
  states: readonly DeadLetter['state'][],
): DeadLetterSelection {
  const ways = [sequence, key, group, all].filter((way) => way !== undefined)
  if (ways.length !== 1) {
    throw usageError(
      'which dead letters? Give a sequence, --key <key>, --group <group> or --all, and only one of them',
      `\`tidemark dead-letter list --listener ${listener}\` shows what there is.`,
    )
  }
  return {
    listener,
    limit,
    states,
    ...(sequence === undefined ? {} : { sequence }),
    ...(key === undefined ? {} : { key }),
    ...(group === undefined ? {} : { group }),
  }
}

function groupArgument(text: string): string {
  if (/^[\da-f]{32}$/u.test(text)) return text
  throw new InvalidArgumentError('It must be a group, as `tidemark dead-letter groups` names it.')
}

/** How many dead letters a selection takes, and how many its limit leaves. */
export async function countChosen(
  app: App,
  selection: DeadLetterSelection,
): Promise<{ readonly taken: number; readonly left: number }> {
  const counts = await app.deadLetters.count(selection)
  const all = counts.reduce((sum, { events }) => sum + events, 0)
  const taken = Math.min(all, selection.limit ?? all)
  return { taken, left: all - taken }
}
