import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AwsClient } from 'aws4fetch'
import { freePort } from '../support/free-port.ts'

const folder =
  process.env['TIDEMARK_DYNAMODB_LOCAL'] ??
  fileURLToPath(new URL('../../.services/dynamodb-local', import.meta.url))

/** Whether it is installed here: null, or why there is no DynamoDB. */
export function dynamodbMissing(): string | null {
  if (!existsSync(join(folder, 'DynamoDBLocal.jar'))) {
    return 'DynamoDB Local is not installed: `npm run services` does that'
  }
  const { error, status } = spawnSync('java', ['-version'])
  return error === undefined && status === 0 ? null : 'java is not installed on this machine'
}

/** DynamoDB Local on a port of its own, with what it has confirmed in a folder. */
export class DynamodbLocal implements AsyncDisposable {
  readonly url: string
  readonly #port: number
  readonly #home: string
  #child: ChildProcess | undefined

  private constructor(port: number, home: string) {
    this.#port = port
    this.#home = home
    this.url = `http://127.0.0.1:${port}/`
  }

  static async start(): Promise<DynamodbLocal> {
    const home = await mkdtemp(join(tmpdir(), 'tidemark-dynamodb-'))
    const server = new DynamodbLocal(await freePort(), home)
    await server.startAgain()
    return server
  }

  /** What signs requests to it. */
  client(): AwsClient {
    const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
    return new AwsClient({ ...secrets, service: 'dynamodb', region: 'local', retries: 0 })
  }

  async startAgain(): Promise<void> {
    const jar = ['-Djava.library.path=DynamoDBLocal_lib', '-jar', 'DynamoDBLocal.jar']
    const options = ['-sharedDb', '-dbPath', this.#home, '-port', String(this.#port)]
    const small = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
    const child = spawn('java', [...small, ...jar, ...options], { cwd: folder, stdio: 'ignore' })
    this.#child = child
    for (;;) {
      const answer = await fetch(this.url).catch(() => undefined)
      if (answer !== undefined) {
        await answer.arrayBuffer()
        return
      }
      if (child.exitCode !== null) throw new Error('DynamoDB Local ended')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#home, { recursive: true, force: true })
  }
}
