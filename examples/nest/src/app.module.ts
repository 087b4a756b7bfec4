import { Module } from '@nestjs/common'
import { TidemarkModule } from '@tidemark/nestjs'
import { AdminModule } from './admin/admin.module.ts'
import { LettersModule } from './letters/letters.module.ts'
import { OrdersModule } from './orders/orders.module.ts'
import { RatesModule } from './rates/rates.module.ts'

@Module({
  imports: [
    OrdersModule,
    LettersModule,
    RatesModule,
    AdminModule,
    // The last one: what it runs stops before the services that it uses.
    TidemarkModule.forRootAsync({
      useFactory: () => ({
        connectionString: process.env['DATABASE_URL'] ?? 'postgres://localhost:5432/postgres',
        // A command line, or a process that only publishes, runs nothing.
        start: process.env['TIDEMARK_START'] !== 'no',
      }),
    }),
  ],
})
export class AppModule {}
