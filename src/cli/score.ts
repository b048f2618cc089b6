import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { describeModel, loadWeights, localModel } from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { scoreText } from '../models/score-text.ts'
import { type CommonOptions, MODEL_HELP, tokenList, withCommonOptions, withExamples } from './options.ts'
import { downloadProgress } from './progress.ts'
import { type Sampler, type SamplerOptions, withSampler } from './sampler.ts'
import { plainTable, printJson, type Terminal } from './terminal.ts'

type ScoreOptions = CommonOptions & SamplerOptions & { tokens?: number[] }

/** A checkpoint may have no tokenizer: then tokens are scored, and shown as numbers. */
type Scorer = Pick<Sampler, 'adapter'> & {
  model: Pick<Sampler['model'], 'description' | 'lanes'> & Partial<Pick<Sampler['model'], 'tokenizer'>>
}

export function defineScore(program: Command, terminal: Terminal): void {
  withExamples(
    withCommonOptions(
      program
        .command('score')
        .description('log-probabilities of a given text, or of given tokens, under a model or a run')
        .argument('[run]', 'the run folder; not with --model')
        .argument('[text]', 'the text; the tokens that the model expects before a text are added')
        .option('--tokens <numbers>', 'tokens instead of a text, taken as they are: 5,6,7', tokenList)
        .option('--model <model>', MODEL_HELP)
        .option('--adapter <folder>', 'a PEFT folder to use'),
    ),
    [
      'score --model models/stories260K "Once upon a time, there was a dog."',
      'score --model models/stories260K --adapter runs/infilling-1/adapter --tokens 1,403,407 --json',
      'score runs/infilling-1 "Once upon a time, there was a dog."',
    ],
  ).action((first: string | undefined, second: string | undefined, options: ScoreOptions) => {
    const { model, tokens } = options
    const [run, text, rest] = model === undefined ? [first, second] : [undefined, first, second]
    if (rest !== undefined) throw new UserError({ what: 'a run does not go with --model', fix: 'give a text only' })
    if ((text === undefined) === (tokens === undefined))
      throw new UserError({ what: 'there must be either a text or --tokens', fix: 'see flowtune score --help' })
    const shown = { ...options, onDownload: downloadProgress(terminal.stderr) }
    const show = (scorer: Scorer) => score(scorer, tokens ?? text!, options, terminal)
    return model !== undefined && tokens ? withWeights(model, shown, show) : withSampler(run, shown, show)
  })
}

async function withWeights(
  name: string,
  { adapter, ...load }: SamplerOptions,
  use: (scorer: Scorer) => Promise<void>,
): Promise<void> {
  const path = await localModel(name, { onProgress: load.onDownload })
  const description = describeModel(path)
  const model = await loadWeights(path, description, load)
  try {
    await use({ model, adapter: adapter === undefined ? undefined : loadAdapter(adapter, description) })
  } finally {
    await model.dispose()
  }
}

async function score(
  { model, adapter }: Scorer,
  text: string | readonly number[],
  { json }: ScoreOptions,
  terminal: Terminal,
): Promise<void> {
  const { tokenizer, description } = model
  const tokens = typeof text === 'string' ? tokenizer!.encode(text, { addSpecialTokens: true }) : text
  const rest = await model.lanes.use((lane) => scoreText(lane, { model: description, adapter }, tokens))
  const logProbabilities = [null, ...rest]
  if (json) return printJson(terminal, { tokens, logProbabilities })
  const rows = tokens.map((token, i) => {
    const shown = tokenizer ? JSON.stringify(tokenizer.textOf(token)) : ''
    return [token, logProbabilities[i]?.toFixed(3) ?? '', shown]
  })
  const table = plainTable([['token', 'log p', ''], ...rows], { colAligns: ['right', 'right', 'left'] })
  const sum = rest.reduce((total, value) => total + value, 0)
  terminal.stdout.write(`${table}\n${rest.length} tokens after the first: ${sum.toFixed(3)} nats\n`)
}
