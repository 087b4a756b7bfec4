import { NestFactory } from '@nestjs/core'
import { AppModule } from './app.module.js'

const app = await NestFactory.create(AppModule)
// On SIGTERM requests and jobs under way finish, and none begins any more.
app.enableShutdownHooks()
await app.listen(3000)
