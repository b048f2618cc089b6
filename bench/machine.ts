/** @file The machine that a benchmark ran on, in words. */
import { cpus } from 'node:os'
import { grantedCores } from '../src/runtime/threads.ts'

export const machine = () =>
  `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${grantedCores()} threads, Node ${process.version}`
