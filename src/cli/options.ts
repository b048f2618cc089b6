/** @file Options that commands share, and how their texts become values. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { readJson } from '../files.ts'
import { type Device, devices } from '../runtime/providers.ts'
import { tasks } from '../tasks/index.ts'
import { type Storage, storages } from '../tensor/ops/stored.ts'
import { parseTrainingConfig, type TrainingOptions } from '../trainers/config.ts'
import type { ColumnMap } from '../trainers/data-files.ts'

export type CommonOptions = { device?: Device; threads?: number; json?: true }

export const withJson = (command: Command) =>
  command.option('--json', 'print the result as JSON and nothing else on standard output')

export const withCommonOptions = (command: Command) =>
  withJson(command)
    .addOption(new Option('--device <name>', 'what computes (default: cpu)').choices(devices))
    .option(
      '--threads <number>',
      'threads to compute with (default: the cores that this machine grants)',
      wholeNumber(1),
    )

export type HoldingOptions = { weights?: Storage; memory?: number; promptCache?: number }

/** How a model is held in memory. */
export const withHoldingOptions = (command: Command) =>
  command
    .addOption(
      new Option('--weights <type>', 'how matrices are held (default: the most exact that fits)').choices(storages),
    )
    .option('--memory <gigabytes>', 'what the process may take (default: what the machine grants)', gigabytes)
    .option(
      '--prompt-cache <megabytes>',
      'for prompts that were read, so that they are not read again (default: 256, if there is as much)',
      wholeNumber(0),
    )

function gigabytes(text: string): number {
  const value = Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw new InvalidArgumentError('It must be a number of gigabytes, such as 2.5.')
}

/** The options as loading a model takes them. */
export const holdingOf = ({ weights, memory, promptCache }: HoldingOptions) => ({
  weights,
  memoryBytes: memory === undefined ? undefined : memory * 1e9,
  promptBytes: promptCache === undefined ? undefined : promptCache * 1e6,
})

/** What `--model` takes. */
export const MODEL_HELP = 'a model: its folder, its GGUF file, or owner/name[@revision][:file.gguf] on the hub'

export const withExamples = (command: Command, examples: readonly string[]) =>
  command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ flowtune ${example}`).join('\n')}`)

export const wholeNumber = (least: number) => (text: string) => {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
  throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`)
}

export function tokenList(text: string): number[] {
  if (!/^\d+(,\d+)*$/.test(text)) throw new InvalidArgumentError('It must be numbers with commas between: 5,6,7.')
  return text.split(',').map(Number)
}

/** "beginning=sentence1+sentence2,ending=sentence5" */
export function columnMap(text: string): ColumnMap {
  const pairs = text.split(',').map((pair) => pair.split('='))
  if (pairs.some((pair) => pair.length !== 2 || pair.some((side) => side.trim() === '')))
    throw new InvalidArgumentError('It must be like "beginning=first+second,ending=last".')
  return Object.fromEntries(pairs.map(([ours, theirs]) => [ours.trim(), theirs.split('+').map((name) => name.trim())]))
}

export type Setting = { path: string[]; value: unknown }

/** How a column of a task is given to `sample`: those of our own tasks have options, others are named. */
export const flagOf = (column: string) =>
  Object.values(tasks).some(({ columns }) => column in columns) ? `--${column} "…"` : `--field ${column}="…"`

/** "words=dog,ball" */
export function field(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be like words="dog, ball".')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

/** "latent.maxTokens=20": the value is JSON, or text where it is none. */
export function setting(text: string, before: Setting[] = []): Setting[] {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be like latent.maxTokens=20.')
  return [...before, { path: text.slice(0, at).split('.'), value: jsonOrText(text.slice(at + 1)) }]
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export type TrainingFlags = {
  config?: string
  set?: Setting[]
  method?: string
  objective?: string
  steps?: number
  emRounds?: number
  seed?: number
}

/** The config file with what the command line says instead. @throws UserError listing the mistakes of either */
export function trainingOptions({ config, set = [], ...flags }: TrainingFlags): TrainingOptions {
  const file = config === undefined ? {} : readJson(config, z.looseObject({}))
  if (config !== undefined) parseTrainingConfig(file, config)
  const { method, objective, steps, emRounds, seed } = flags
  const named = { method, 'objective.name': objective, steps, 'em.rounds': emRounds, seed }
  const settings = [...set, ...Object.entries(named).map(([key, value]) => ({ path: key.split('.'), value }))]
  const options = settings
    .filter(({ value }) => value !== undefined)
    .reduce((options, { path, value }) => withSetting(options, path, value), file as Record<string, unknown>)
  parseTrainingConfig(options, '--set')
  return options
}

function withSetting(
  options: Record<string, unknown>,
  [key, ...rest]: string[],
  value: unknown,
): Record<string, unknown> {
  if (rest.length === 0) return { ...options, [key]: value }
  const inner = options[key]
  const object = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {}
  return { ...options, [key]: withSetting(object, rest, value) }
}

/** @throws UserError where options were given that do not go together */
export function refuseTogether(what: string, given: Record<string, unknown>, fix: string): void {
  const names = Object.keys(given).filter((name) => given[name] !== undefined)
  if (names.length > 0) throw new UserError({ what: `${what} does not go with ${names.join(', ')}`, fix })
}
