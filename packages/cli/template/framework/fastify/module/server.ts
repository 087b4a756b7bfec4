import { createConsole } from '@tidemark/console'
import { toFastify } from '@tidemark/http/fastify'
import { fastify } from 'fastify'
import { createHealth, withRequest } from 'tidemark'
import { z } from 'zod'
import { openAccount } from './accounts/index.ts'
import { createApp } from './app.ts'

const app = await createApp()
const closing = new AbortController()
const { signal } = closing
// Who may look and steer: without `authorize`, clients on this machine.
const show = createConsole(app, { basePath: '/tidemark', signal })
const newAccount = z.object({ id: z.string().min(1), email: z.email() })

const server = fastify()
await server.register(toFastify(show), { prefix: '/tidemark' })
await server.register(toFastify(createHealth(app, { basePath: '/health', signal })), {
  prefix: '/health',
})

server.post('/accounts', async (request, reply) => {
  const account = newAccount.safeParse(request.body)
  if (!account.success) return reply.code(400).send({ error: z.prettifyError(account.error) })
  // What it publishes and spawns has the request's correlation id and trace.
  await withRequest(request.headers, () => openAccount(app, account.data.id, account.data.email))
  return reply.code(201).send(account.data)
})

const port = Number(process.env['PORT'] ?? 3000)
await server.listen({ port, host: 'localhost' })
console.log(`http://localhost:${port}, the console at http://localhost:${port}/tidemark/`)

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => {
    closing.abort()
    void server.close().then(() => app.close())
  })
}
