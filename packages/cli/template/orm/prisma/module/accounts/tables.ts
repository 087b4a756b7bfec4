import type { PrismaClient } from '../db/client/client.ts'

// The tables of this application are in db/schema.prisma. What `db` is in transactions and handlers:
declare module 'tidemark' {
  interface Register {
    db: PrismaClient
  }
}
