import { Logger, makeWorkerUtils, run, type RunnerOptions, type WorkerUtils } from 'graphile-worker'
import pg from 'pg'
import { graphileBatched } from '../job-peers.ts'
import { connections, publishing, sideBySide, versionOf, type Peer, type Told } from './peer.ts'

const quiet = new Logger(() => () => {})

function graphile(name: string, settings: string, options: Partial<RunnerOptions>): Peer {
  return {
    name,
    version: versionOf('graphile-worker'),
    settings: `${settings}; ${sideBySide} side by side; a task has its effect by itself and is completed after it; what a dead worker had locked is unlocked by hand (\`forceUnlockWorkers\`), or after four hours`,
    ordered: false,
    prepare: (url) => withUtils(url, (utils) => utils.migrate()),
    publisher: async (url, max) =>
      publishing(new pg.Pool({ connectionString: url, max }), (client, told) =>
        client.query(`SELECT graphile_worker.add_job('effects', $1::json)`, [JSON.stringify(told)]),
      ),
    consume: async (connectionString, { handle }) => {
      const runner = await run({
        connectionString,
        concurrency: sideBySide,
        maxPoolSize: connections,
        noHandleSignals: true,
        logger: quiet,
        taskList: { effects: (payload, helpers) => handle(payload as Told, helpers) },
        ...options,
      })
      return { [Symbol.asyncDispose]: () => runner.stop() }
    },
    release: (url) =>
      withUtils(url, async (utils) => {
        const locked = await utils.withPgClient((client) =>
          client.query<{ by: string }>(
            `SELECT DISTINCT locked_by AS by FROM graphile_worker._private_jobs WHERE locked_by IS NOT NULL`,
          ),
        )
        await utils.forceUnlockWorkers(locked.rows.map(({ by }) => by))
      }),
  }
}

async function withUtils(
  connectionString: string,
  work: (utils: WorkerUtils) => Promise<unknown>,
): Promise<void> {
  const utils = await makeWorkerUtils({ connectionString, logger: quiet })
  try {
    await work(utils)
  } finally {
    await utils.release()
  }
}

/** Both of its modes. */
export const graphilePeers: readonly Peer[] = [
  graphile('graphile-worker', 'its defaults', {}),
  graphile(
    'graphile-worker, batched',
    'localQueue 500, completeJobBatchDelay and failJobBatchDelay 0',
    graphileBatched,
  ),
]
