import type { Command } from 'commander'
import type { Context } from './command-run.ts'

/** Adds one command, with what it takes and what it does, to its parent. */
export type AddCommand = (parent: Command, context: Context) => void
