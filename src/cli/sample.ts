import type { Command } from 'commander'
import { UserError } from '../errors.ts'
import { TRUSTED_PARETO_K } from '../evaluation/pareto-smoothing.ts'
import { seededRandom } from '../random.ts'
import { drawScored, type ScoredSample } from '../tasks/draw.ts'
import { limitsOf, promptsOf } from '../tasks/task-run.ts'
import { drawResampled, drawWeighted, targetTemperature, type WeightQuality } from '../tasks/weighted-draw.ts'
import { type ColumnOptions, exampleOf, withColumnOptions } from './columns.ts'
import {
  type CommonOptions,
  type HoldingOptions,
  holdingOf,
  refuseTogether,
  wholeNumber,
  withCommonOptions,
  withExamples,
  withHoldingOptions,
} from './options.ts'
import { downloadProgress } from './progress.ts'
import { type SamplerOptions, withSampler } from './sampler.ts'
import { shownEnd } from './screen.ts'
import { oneLine, plainTable, printJson, type Terminal } from './terminal.ts'

type SampleOptions = CommonOptions &
  HoldingOptions &
  SamplerOptions & {
    samples: number
    seed: number
    weighted?: true
    resample?: number
  } & ColumnOptions

export function defineSample(program: Command, terminal: Terminal): void {
  const command = program
    .command('sample')
    .description(
      'draw from a trained sampler, or from a model as it is; log q and log R (nats) count the terminal token, which the JSON leaves out of text and tokens',
    )
    .argument('[run]', 'the run folder whose adapter to use')
    .option('--model <model>', 'a model without a run, or where the model of the run is now')
    .option('--adapter <folder>', 'a PEFT folder to use')
    .option('--task <task>', 'with --model alone: what to sample for, or a file as for train (default: infilling)')
    .option('--chat', "with --model alone: write the prompt in the model's chat template")
    .option('--samples <number>', 'how many', wholeNumber(1), 8)
    .option('--weighted', "with each sample's share of the posterior, and how far the shares are to be trusted")
    .option('--resample <pool>', 'draw a pool of so many and resample --samples of them by weight', wholeNumber(1))
    .option('--seed <number>', 'every random draw follows from it', wholeNumber(0), 0)
  withExamples(withCommonOptions(withHoldingOptions(withColumnOptions(command))), [
    'sample runs/infilling-1 --beginning "Tom had a dog." --ending "They were happy." --samples 16',
    'sample runs/infilling-1 --beginning "Tom had a dog." --ending "They were happy." --resample 512',
    'sample --model models/stories260K --beginning "Tom had a dog." --ending "They were happy." --json',
    'sample --model models/stories260K --task continuation --prompt "Tom had a dog."',
  ]).action((folder: string | undefined, options: SampleOptions) =>
    sample(folder, { ...options, ...holdingOf(options), onDownload: downloadProgress(terminal.stderr) }, terminal),
  )
}

async function sample(folder: string | undefined, options: SampleOptions, terminal: Terminal): Promise<void> {
  const { task, chat, samples: count, weighted, resample: pool, json } = options
  if (folder !== undefined)
    refuseTogether('a run', { '--task': task, '--chat': chat }, 'it has its own; name a model with --model')
  if (pool !== undefined) {
    refuseTogether('--resample', { '--weighted': weighted }, 'resampled samples all weigh the same')
    if (pool < count)
      throw new UserError({
        what: `a pool of ${pool} is too small for ${count} samples`,
        fix: 'give a larger --resample',
      })
  }
  await withSampler(folder, options, async (opened) => {
    const { task, model, adapter, record } = opened
    const [prompt] = promptsOf(opened, [exampleOf(task, options)])
    const random = seededRandom(options.seed)
    const sampler = {
      model,
      adapter,
      ...limitsOf(opened),
      rewardTemperature: targetTemperature(record.training),
    }
    const drawn =
      pool !== undefined
        ? await drawResampled(sampler, prompt, { samples: count, pool }, random)
        : weighted
          ? await drawWeighted(sampler, prompt, count, random)
          : { samples: await drawScored(sampler, prompt, { samples: count, draws: random.at('sample') }) }
    if (json) return printJson(terminal, 'quality' in drawn ? drawn : drawn.samples)
    const quality = 'quality' in drawn ? `\n${qualityLine(drawn.quality)}\n` : ''
    terminal.stdout.write(`${sampleTable(drawn.samples, shownEnd(model, record.training))}\n${quality}`)
  })
}

/** A row for each sample; the share of the posterior comes first where it is known. */
function sampleTable(samples: readonly (ScoredSample & { weight?: number })[], end: string): string {
  const hasWeights = samples.some(({ weight }) => weight !== undefined)
  const rows = samples.map(({ text, logQ, logReward, weight }) => [
    ...(weight === undefined ? [] : [`${(100 * weight).toFixed(1)} %`]),
    logQ.toFixed(1),
    logReward.toFixed(1),
    oneLine(text + end),
  ])
  const numbers = [...(hasWeights ? ['weight'] : []), 'log q', 'log R']
  return plainTable([[...numbers, ''], ...rows], { colAligns: [...numbers.map(() => 'right' as const), 'left'] })
}

function qualityLine({ logZ, effectiveSamples, samples, paretoK }: WeightQuality): string {
  const parts = [
    `log Z ${logZ.value.toFixed(2)} ± ${logZ.standardError.toFixed(2)} nats`,
    `effective samples ${effectiveSamples.toFixed(1)} of ${samples}`,
    `Pareto k̂ ${paretoK === undefined ? 'unknown' : paretoK.toFixed(2)}`,
  ]
  const isTrusted = paretoK !== undefined && paretoK < TRUSTED_PARETO_K
  return `${parts.join('; ')}${isTrusted ? '' : `: not to be trusted (below ${TRUSTED_PARETO_K}), draw more`}`
}
