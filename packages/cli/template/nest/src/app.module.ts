import { Module } from '@nestjs/common'
import { TidemarkModule } from '@tidemark/nestjs'
import { Welcome } from './welcome.js'

@Module({
  imports: [
    TidemarkModule.forRootAsync({
      useFactory: () => ({ connectionString: process.env['DATABASE_URL'] ?? '' }),
    }),
  ],
  providers: [Welcome],
})
export class AppModule {}
