import { Module } from '@nestjs/common'
import { RatesController } from './rates.controller.ts'
import { Rates } from './rates.service.ts'
import { RefreshRates } from './refresh-rates.ts'

@Module({ providers: [Rates, RefreshRates], controllers: [RatesController] })
export class RatesModule {}
