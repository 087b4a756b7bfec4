import { defineEvent, type EventDefinition } from 'tidemark'
import { z } from 'zod'

/** The payload of most events here. */
export interface Flight {
  flight: string
  origin: string
  destination: string
  carrier: string
  delay: number
  distance: number
}

interface Booking {
  passenger: string
  flight: string
  fare: bigint
  bookedAt: Date
}

/** An event whose payload is plain JSON, of about 110 bytes. */
export const flightArrived: EventDefinition<'bench.flight_arrived', Flight, Flight> = defineEvent(
  'bench.flight_arrived',
  {
    payload: z.object({
      flight: z.string(),
      origin: z.string(),
      destination: z.string(),
      carrier: z.string(),
      delay: z.number(),
      distance: z.number(),
    }),
  },
)

/** An event whose payload has a bigint and a Date, which JSON cannot say. */
export const seatBooked: EventDefinition<'bench.seat_booked', Booking, Booking> = defineEvent(
  'bench.seat_booked',
  {
    payload: z.object({
      passenger: z.string(),
      flight: z.string(),
      fare: z.bigint(),
      bookedAt: z.date(),
    }),
  },
)

const airports = ['ATL', 'ORD', 'DFW', 'DEN', 'LAX', 'PHX', 'IAH', 'LAS', 'DTW', 'SFO']

/** The n-th flight: 100 routes, delays up to three hours. */
export function flight(n: number): Flight {
  return {
    flight: `WN${1000 + (n % 9000)}`,
    origin: airports[n % 10] as string,
    destination: airports[Math.floor(n / 10) % 10] as string,
    carrier: 'Southwest Airlines',
    delay: (n * 7) % 181,
    distance: 150 + ((n * 13) % 2500),
  }
}

/** The n-th booking. */
export function booking(n: number): Booking {
  return {
    passenger: `passenger-${n}`,
    flight: `WN${1000 + (n % 9000)}`,
    fare: 10_000n + BigInt(n % 50_000),
    bookedAt: new Date(1_700_000_000_000 + n * 1000),
  }
}
