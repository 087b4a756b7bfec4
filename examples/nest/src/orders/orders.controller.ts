import { randomUUID } from 'node:crypto'
import { Body, Controller, Get, Post } from '@nestjs/common'
import { Tidemark } from '@tidemark/nestjs'
import { orderPlaced } from './order-placed.ts'
import { turnover } from './turnover.ts'

@Controller('orders')
export class OrdersController {
  constructor(private readonly tidemark: Tidemark) {}

  @Post()
  async place(@Body() body: { email: string; cents: string }): Promise<{ id: string }> {
    const id = randomUUID()
    const order = orderPlaced({ id, email: body.email, cents: BigInt(body.cents) })
    await this.tidemark.transaction(async (tx) => {
      // The rows of the order are written here, with `tx.db` or `tx.query`: they commit with the event.
      tx.publish(order, { stream: `order-${id}`, expectedVersion: 'none' })
    })
    return { id }
  }

  @Get('turnover')
  async turnover(): Promise<{ orders: number; cents: string }> {
    const { orders, cents } = await this.tidemark.read(turnover)
    return { orders, cents: String(cents) }
  }
}
