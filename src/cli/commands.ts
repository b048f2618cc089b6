/** @file The command table, and how its commands end: 0 done, 1 failed, 2 wrongly used. */
import { Command, CommanderError } from 'commander'
import { UserError } from '../errors.ts'
import { version } from '../trainers/run-record.ts'
import { defineCompare } from './compare.ts'
import { defineDoctor } from './doctor.ts'
import { defineEvaluate } from './evaluate.ts'
import { defineExport } from './export.ts'
import { defineModels } from './models.ts'
import { withExamples } from './options.ts'
import { definePredict } from './predict.ts'
import { defineSample } from './sample.ts'
import { defineScore } from './score.ts'
import type { Terminal } from './terminal.ts'
import { defineStart, defineTrain } from './train.ts'

const commands = [
  defineStart,
  defineTrain,
  defineSample,
  definePredict,
  defineEvaluate,
  defineCompare,
  defineScore,
  defineExport,
  defineModels,
  defineDoctor,
]

/** Carries out a command line. @returns the exit code */
export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { stdout, stderr } = terminal
  const program = new Command('flowtune')
    .description('fine-tune a language model so that it samples from a posterior over text')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'flowtune: ')),
    })
  withExamples(program, ['start', 'train infilling --data stories.csv', 'sample --help'])
  for (const define of commands) define(program, terminal)
  try {
    await program.parseAsync(words, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2 // commander has told it already
    const told = error instanceof UserError ? error.message : ((error as Error)?.stack ?? String(error))
    stderr.write(`${told.replace(/^/gm, error instanceof UserError ? 'flowtune: ' : '')}\n`)
    return error instanceof UserError ? error.exitCode : 1
  }
}
