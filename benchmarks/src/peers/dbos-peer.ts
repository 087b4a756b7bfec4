import { DBOS, DBOSClient, type DBOSConfig } from '@dbos-inc/dbos-sdk'
import pg from 'pg'
import { DbosDataSource } from './dbos-data-source.ts'
import { connections, publishing, versionOf, type Peer, type Told } from './peer.ts'

const queueName = 'effects'
const workflowName = 'effect'
const application = 'peers'
/** How many workflows run side by side. */
const workerConcurrency = 100

const nothing = (): void => {}
const quiet = { info: nothing, debug: nothing, warn: nothing, error: nothing }

export const dbos: Peer = {
  name: 'DBOS',
  version: versionOf('@dbos-inc/dbos-sdk'),
  settings: `a queue of workflows with one transactional step (over node-postgres, by the interface for data sources); enqueued in the caller's transaction; ${workerConcurrency} side by side, polled each 10 ms instead of each second; no Conductor: each process has an executor of its own, which takes its workflows up again when it is back`,
  ordered: false,
  prepare: async (url) => {
    DBOS.setConfig(configOf(url, 'prepare'))
    await DBOS.launch()
    await DBOS.registerQueue(queueName, { workerConcurrency, minPollingIntervalMs: 10 })
    await DBOS.shutdown()
  },
  publisher: async (url, max) => {
    const client = await DBOSClient.create({
      systemDatabaseUrl: url,
      applicationName: application,
      logger: quiet,
    })
    return publishing(
      new pg.Pool({ connectionString: url, max }),
      (pgClient, told) => client.enqueueInTransaction(pgClient, { queueName, workflowName }, told),
      () => client.destroy(),
    )
  },
  consume: async (url, { name, handle }) => {
    const source = new DbosDataSource(url, connections)
    DBOS.registerWorkflow((told: Told) => source.run((client) => handle(told, client)), {
      name: workflowName,
    })
    DBOS.setConfig(configOf(url, name))
    await DBOS.launch()
    return { [Symbol.asyncDispose]: () => DBOS.shutdown() }
  },
}

function configOf(systemDatabaseUrl: string, executorID: string): DBOSConfig {
  return {
    name: application,
    systemDatabaseUrl,
    applicationVersion: '1',
    executorID,
    logger: quiet,
  }
}
