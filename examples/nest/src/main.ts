import { NestFactory } from '@nestjs/core'
import { AppModule } from './app.module.ts'

const app = await NestFactory.create(AppModule)
// On SIGTERM requests and jobs under way finish, and none begins any more.
app.enableShutdownHooks()
await app.listen(process.env['PORT'] ?? 3000, '127.0.0.1')
console.log(`listening on ${await app.getUrl()}`)
