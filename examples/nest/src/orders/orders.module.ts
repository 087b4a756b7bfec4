import { Module } from '@nestjs/common'
import { TidemarkModule } from '@tidemark/nestjs'
import { orderPlaced } from './order-placed.ts'
import { OrdersController } from './orders.controller.ts'
import { turnover } from './turnover.ts'

@Module({
  imports: [TidemarkModule.forFeature([orderPlaced, turnover])],
  controllers: [OrdersController],
})
export class OrdersModule {}
