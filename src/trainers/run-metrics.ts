/** @file The metrics that a run wrote, for curves and comparisons. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import type { StepMetrics } from './events.ts'

/** A run's metrics step by step, also of a run under way. A quantity that was no number then (JSON's null) is NaN. */
export function readStepMetrics(run: string): { step: number; metrics: StepMetrics }[] {
  const path = join(run, 'events.jsonl')
  if (!existsSync(path))
    throw new UserError({ what: 'no run here: there is no events.jsonl', where: run, fix: 'name a run folder' })
  const text = readFileSync(path, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1) // the last line may be half written
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => parsed(line, `${path}, line ${i + 1}`))
    .filter(({ kind }) => kind === 'step')
    .map(({ step, metrics }) => ({
      step,
      metrics: Object.fromEntries(
        Object.entries(metrics).map(([name, value]) => [name, value ?? Number.NaN]),
      ) as StepMetrics,
    }))
}

type Line = { kind: string; step: number; metrics: Record<string, number | null> }

function parsed(line: string, where: string): Line {
  try {
    return JSON.parse(line)
  } catch {
    throw new UserError({ what: 'this line is damaged', where, fix: 'resume the run, which mends its files' })
  }
}
