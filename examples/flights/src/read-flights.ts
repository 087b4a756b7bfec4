import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type { PayloadOf } from 'tidemark'
import type { flightArrived } from './events.ts'

/** A flight, as it is published. */
export type Flight = PayloadOf<typeof flightArrived>

/** Which records to read. */
export interface FlightsOptions {
  /** The three million of 2001 instead of the twenty thousand of its first quarter. */
  readonly all: boolean
  /** Read only that many. */
  readonly limit: number | undefined
}

/** A file of flight records in vega-datasets. */
export interface FlightsFile {
  readonly name: string
  /** How many flights there are to read. */
  readonly count: number
  /** Reads them in the order of the file, numbered from 1. Can be called again. */
  readonly read: () => AsyncGenerator<Flight>
}

/** Opens the records of US domestic flights that vega-datasets carries. */
export async function openFlights({ all, limit }: FlightsOptions): Promise<FlightsFile> {
  return all ? openParquet('flights-3m.parquet', limit) : openJson('flights-20k.json', limit)
}

interface JsonRow {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

async function openJson(name: string, limit = Infinity): Promise<FlightsFile> {
  const text = await readFile(pathOf(name), 'utf8')
  const rows = (JSON.parse(text) as JsonRow[]).slice(0, limit)
  return {
    name,
    count: rows.length,
    read: async function* () {
      for (const [index, { date, ...row }] of rows.entries()) {
        // "2001/01/01 00:47"
        yield { flight: index + 1, departed: date.replaceAll('/', '-').replace(' ', 'T'), ...row }
      }
    },
  }
}

interface ParquetRow {
  readonly date: Date
  readonly delay: bigint
  readonly distance: bigint
  readonly origin: string
  readonly destination: string
}

async function openParquet(name: string, limit = Infinity): Promise<FlightsFile> {
  const file = await asyncBufferFromFile(pathOf(name))
  const metadata = await parquetMetadataAsync(file)
  const count = Math.min(Number(metadata.num_rows), limit)
  return {
    name,
    count,
    read: async function* () {
      let flight = 0
      // A row group at a time: what is in memory does not grow with the file.
      for (const group of metadata.row_groups) {
        const rowStart = flight
        if (rowStart >= count) return
        const rowEnd = Math.min(rowStart + Number(group.num_rows), count)
        const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd })
        for (const row of rows as unknown as ParquetRow[]) yield toFlight(++flight, row)
      }
    },
  }
}

function toFlight(
  flight: number,
  { date, delay, distance, origin, destination }: ParquetRow,
): Flight {
  return {
    flight,
    // The file keeps local times as if they were UTC.
    departed: date.toISOString().slice(0, 16),
    delay: Number(delay),
    distance: Number(distance),
    origin,
    destination,
  }
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../data/${name}`, import.meta.resolve('vega-datasets')))
}
