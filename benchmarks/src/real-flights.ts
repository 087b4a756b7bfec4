import { fileURLToPath } from 'node:url'
import type { TestDatabase } from '@tidemark/testing'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { defineApp, defineEvent, type EventDefinition, type EventDraft } from 'tidemark'
import { z } from 'zod'

/** A US domestic flight of 2001, from the records that vega-datasets carries. */
export interface RealFlight {
  readonly flight: number
  /** Local time at the origin, to the minute. */
  readonly departed: string
  readonly origin: string
  readonly destination: string
  /** In minutes; negative when it was early. */
  readonly delay: number
  /** In miles. */
  readonly distance: number
}

/** The same event, with the same checks, as in `examples/flights`: plain JSON of about 120 bytes. */
export const realFlight: EventDefinition<'flight.arrived', RealFlight, RealFlight> = defineEvent(
  'flight.arrived',
  {
    payload: z.object({
      flight: z.int().positive(),
      departed: z.iso.datetime({ local: true, precision: -1 }),
      origin: z.string().length(3),
      destination: z.string().length(3),
      delay: z.int(),
      distance: z.int().nonnegative(),
    }),
  },
)

interface ParquetRow {
  readonly date: Date
  readonly delay: bigint
  readonly distance: bigint
  readonly origin: string
  readonly destination: string
}

/** Reads the first `limit` of the three million flights, a row group at a time: numbered from 1, in the file's order. */
async function* readFlights(limit: number): AsyncGenerator<RealFlight> {
  const path = new URL('../data/flights-3m.parquet', import.meta.resolve('vega-datasets'))
  const file = await asyncBufferFromFile(fileURLToPath(path))
  const metadata = await parquetMetadataAsync(file)
  let flight = 0
  for (const group of metadata.row_groups) {
    const rowStart = flight
    if (rowStart >= limit) return
    const rowEnd = Math.min(rowStart + Number(group.num_rows), limit)
    const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd })
    for (const row of rows as unknown as ParquetRow[]) {
      yield {
        flight: ++flight,
        departed: row.date.toISOString().slice(0, 16),
        origin: row.origin,
        destination: row.destination,
        delay: Number(row.delay),
        distance: Number(row.distance),
      }
    }
  }
}

const publishedAtOnce = 1000

/** Publishes the first `count` flights; answers the last sequence. */
export async function fillWithFlights(database: TestDatabase, count: number): Promise<bigint> {
  await using app = defineApp({ modules: [realFlight], connectionString: database.url })
  let last = 0n
  let drafts: EventDraft[] = []
  const flush = async (): Promise<void> => {
    const published = await app.publish(drafts)
    last = published.at(-1)?.sequence ?? last
    drafts = []
  }
  for await (const flight of readFlights(count)) {
    drafts.push(realFlight(flight))
    if (drafts.length === publishedAtOnce) await flush()
  }
  if (drafts.length > 0) await flush()
  await database.query('VACUUM ANALYZE tidemark.events')
  return last
}
