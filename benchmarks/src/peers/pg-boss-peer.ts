import pg from 'pg'
import { PgBoss, type ConstructorOptions, type Db, type Job } from 'pg-boss'
import { connections, lease, publishing, versionOf, type Peer, type Told } from './peer.ts'

const queue = 'effects'

export const pgBoss: Peer = {
  name: 'pg-boss',
  version: versionOf('pg-boss'),
  settings: `\`transactional\` workers: the effects in the commit of a batch of up to 100, 4 batches side by side, further ones at once while they are full (\`burstWhenBatchFull\`); woken by NOTIFY and polling each 0.5 s, as retries ring no bell; jobs expire after ${lease} s and are looked after each second, where 15 minutes and one are the defaults; 10 retries`,
  ordered: false,
  prepare: async (url) => {
    const boss = await started(url, { supervise: false })
    await boss.createQueue(queue, { expireInSeconds: lease, retryLimit: 10, notify: true })
    await boss.stop({ graceful: false, close: true })
  },
  publisher: async (url, max) => {
    const boss = await started(url, { supervise: false })
    return publishing(
      new pg.Pool({ connectionString: url, max }),
      (client, told) =>
        boss.send(queue, told, {
          db: { executeSql: (text, values) => client.query(text, values) },
        }),
      () => boss.stop({ graceful: false, close: true }),
    )
  },
  consume: async (url, { handle }) => {
    const boss = await started(url, {
      max: connections,
      useListenNotify: true,
      superviseIntervalSeconds: 1,
      monitorIntervalSeconds: 1,
    })
    await boss.work(
      queue,
      {
        batchSize: 100,
        localConcurrency: 4,
        pollingIntervalSeconds: 0.5,
        // What is tried again rings no bell.
        notifyPollingIntervalSeconds: 0.5,
        burstWhenBatchFull: true,
        transactional: true,
      },
      async (jobs: Job<Told>[], db: Db) => {
        const sql = { query: (text: string, values: unknown[]) => db.executeSql(text, values) }
        for (const { data } of jobs) await handle(data, sql)
      },
    )
    return { [Symbol.asyncDispose]: () => boss.stop({ graceful: true, close: true }) }
  },
}

async function started(connectionString: string, options: ConstructorOptions): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, schedule: false, ...options })
  boss.on('error', () => {})
  await boss.start()
  return boss
}
