import { PrismaPg } from '@prisma/adapter-pg'
import { defineApp } from 'tidemark'
import { bindPrisma } from 'tidemark/prisma'
import * as accounts from './accounts/index.ts'
import { PrismaClient } from './db/client/client.ts'

/** The application: where DATABASE_URL says for workers and servers, on a database of its own in a test. */
export function createApp(connectionString = process.env['DATABASE_URL']) {
  return defineApp({
    modules: [accounts],
    db: bindPrisma((config) => new PrismaClient({ adapter: new PrismaPg(config) })),
    ...(connectionString ? { connectionString } : {}),
  })
}
