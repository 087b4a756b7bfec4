import { Module } from '@nestjs/common'
import { Letters } from './letters.service.ts'
import { MailServer } from './mail-server.ts'

@Module({ providers: [Letters, MailServer] })
export class LettersModule {}
