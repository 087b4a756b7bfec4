import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AwsClient } from 'aws4fetch'
import { freePort } from '../support/free-port.ts'

/** Whether the programs are installed here and wanted: null, or why there is no object store. */
export function cephMissing(): string | null {
  const absent = ['ceph-mon', 'ceph-osd', 'radosgw', 'monmaptool'].filter((program) => {
    const { error, status } = spawnSync(program, ['--version'])
    return error !== undefined || status !== 0
  })
  if (absent.length > 0) return `${absent.join(', ')} not installed on this machine`
  if (process.env['TIDEMARK_TEST_CEPH'] === '1') return null
  return 'Ceph takes 20 s to start; set TIDEMARK_TEST_CEPH=1 to have it tested'
}

/** The least of Ceph that has a gateway: one monitor, one store in memory. The gateway can be killed and started again. */
export class CephGateway implements AsyncDisposable {
  readonly url: string
  readonly #home: string
  readonly #children: ChildProcess[] = []
  #gateway: ChildProcess | undefined

  private constructor(home: string, port: number) {
    this.#home = home
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<CephGateway> {
    const home = await mkdtemp(join(tmpdir(), 'tidemark-ceph-'))
    const gateway = new CephGateway(home, await freePort())
    try {
      await gateway.#found(await freePort())
      await gateway.startAgain()
    } catch (error) {
      await gateway[Symbol.asyncDispose]()
      throw error
    }
    return gateway
  }

  /** What signs requests to it. */
  client(): AwsClient {
    const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
    return new AwsClient({ ...secrets, service: 's3', region: 'default', retries: 0 })
  }

  async startAgain(): Promise<void> {
    this.#gateway = this.#spawn('radosgw', ['-n', 'client.rgw'])
    for (;;) {
      const answer = await fetch(this.url).catch(() => undefined)
      if (answer !== undefined) {
        await answer.arrayBuffer()
        return
      }
      if (this.#gateway.exitCode !== null) throw new Error('radosgw ended')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async kill(): Promise<void> {
    await end(this.#gateway)
    this.#gateway = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    for (const child of this.#children.toReversed()) await end(child)
    await rm(this.#home, { recursive: true, force: true })
  }

  async #found(port: number): Promise<void> {
    const cluster = randomUUID()
    const osd = randomUUID()
    for (const folder of ['mon', 'osd', 'rgw']) await mkdir(join(this.#home, folder))
    await writeFile(join(this.#home, 'keyring'), '')
    await writeFile(join(this.#home, 'ceph.conf'), this.#settings(cluster, port))
    const map = join(this.#home, 'monmap')
    this.#run(
      'monmaptool',
      ['--create', '--add', 'a', `127.0.0.1:${port}`, '--fsid', cluster, map],
      false,
    )
    this.#run('ceph-mon', ['--mkfs', '-i', 'a', '--monmap', map])
    this.#children.push(this.#spawn('ceph-mon', ['-i', 'a']))
    this.#run('ceph', ['osd', 'new', osd])
    this.#run('ceph-osd', ['-i', '0', '--mkfs', '--osd-uuid', osd])
    this.#children.push(this.#spawn('ceph-osd', ['-i', '0']))
    const user = ['--uid', 'test', '--display-name', 'test']
    this.#run('radosgw-admin', [
      'user',
      'create',
      ...user,
      '--access-key',
      'key',
      '--secret',
      'secret',
    ])
  }

  #settings(cluster: string, port: number): string {
    const modes = ['cluster', 'service', 'client', 'mon cluster', 'mon service', 'mon client']
    return [
      '[global]',
      `fsid = ${cluster}`,
      `mon host = 127.0.0.1:${port}`,
      'mon initial members = a',
      'public addr = 127.0.0.1',
      ...['cluster', 'service', 'client'].map((who) => `auth ${who} required = none`),
      // Without it the gateway waits for ever where nobody has a key.
      ...modes.map((who) => `ms ${who} mode = crc`),
      'osd objectstore = memstore',
      'osd pool default size = 1',
      'osd pool default min size = 1',
      'osd pool default pg num = 1',
      'osd pool default pgp num = 1',
      'osd pool default pg autoscale mode = off',
      'osd crush chooseleaf type = 0',
      'mon allow pool size one = true',
      'mon max pg per osd = 1000',
      ...['mon', 'osd', 'rgw'].map((part) => `${part} data = ${join(this.#home, part)}`),
      `run dir = ${this.#home}`,
      `admin socket = ${this.#home}/$name.asok`,
      `log file = ${this.#home}/$name.log`,
      `keyring = ${this.#home}/keyring`,
      `rgw frontends = beast endpoint=${this.url.slice('http://'.length)}`,
      'rgw run sync thread = false',
      '',
    ].join('\n')
  }

  #arguments(args: readonly string[]): string[] {
    return ['-c', join(this.#home, 'ceph.conf'), ...args]
  }

  #run(program: string, args: readonly string[], configured = true): void {
    const given = configured ? this.#arguments(args) : [...args]
    execFileSync(program, given, { stdio: 'ignore', timeout: 60_000 })
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    return spawn(program, [...this.#arguments(args), '-f'], { stdio: 'ignore' })
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
