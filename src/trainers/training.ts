/** @file What a training consists of, checked before any work, and the state that it begins with. */
import { chooseTargets, copyAdapter, initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { schedule, warmUp } from '../gflownet/schedules.ts'
import { everyWeightOf } from '../models/every-weight.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { type Random, seededRandom } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { bindTool, type Tool } from '../sampling/tools.ts'
import { unwatched } from './collapse.ts'
import type { Collected } from './collected.ts'
import type { TrainingConfig } from './config.ts'
import type { Warning } from './events.ts'
import { type Method, type Run, rewardContext } from './methods/method.ts'
import { type AdamW, adamW } from './optimizer.ts'
import { warnOfOneLane } from './overlap.ts'
import { type PromptInput, resolvePrompts, supportOf } from './prompts.ts'
import type { TrainingState } from './state.ts'

export type Training = { run: Run; method: Method<Collected>; optimizer: AdamW; warning?: Warning }

/** What is trained on, and by which rewards. */
export type TrainingMaterial = {
  model: LanguageModel
  prompts: readonly PromptInput[]
  /** The reward of prompts that have none of their own. */
  reward?: Reward
  /** The reference model's own adapter, of which rewards are computed; default: the model as it is. */
  reference?: LoraAdapter
  /** Reads along and inserts into latents while they are sampled. */
  tool?: Tool
}

/** @throws UserError for mistakes in config or prompts */
export async function prepareTraining(
  { model, prompts, reward, reference, tool }: TrainingMaterial,
  config: TrainingConfig,
  method: Method<Collected>,
): Promise<Training> {
  const support = supportOf(config, model)
  const resolved = resolvePrompts(prompts, {
    model,
    reward: reward ?? (method.withoutRewards && noReward),
    maxTokens: support.maxTokens,
  })
  const run: Run = {
    model,
    config,
    support,
    reference,
    tool: tool && bindTool(tool, model.tokenizer),
    prompts: resolved,
    random: seededRandom(config.seed),
    rewardTemperature: schedule(config.rewardTemperature, config.steps),
    learningRate: warmUp(
      config.optimizer.warmUpSteps,
      schedule(config.optimizer.learningRate, config.steps * method.rounds(config)),
    ),
  }
  for (const { reward, tokens } of method.withoutRewards ? [] : run.prompts)
    await model.lanes.use((lane) => Promise.resolve(reward.check?.(rewardContext(lane, run, tokens))))
  const { prompts: usable, warning } = (await method.usable?.(run)) ?? { prompts: resolved }
  const optimizer = adamW({ ...config.optimizer, learningRate: run.learningRate })
  return { run: { ...run, prompts: usable }, method, optimizer, warning }
}

/** Stands where nobody asks for one. */
const noReward: Reward = { name: 'none', score: () => Promise.reject(new Error('this prompt has no reward')) }

/** The state before the first update, and what there is to warn of. */
export async function beginTraining(
  { run, method, optimizer, warning }: Training,
  given?: LoraAdapter,
): Promise<{ state: TrainingState; warnings: Warning[] }> {
  const { buffer, critic = {}, warning: another } = await method.begin(run)
  const adapter = given ? copyAdapter(given) : freshAdapter(run.model, run.config, run.random)
  const state: TrainingState = {
    step: 0,
    seed: run.config.seed,
    adapter,
    critic,
    optimizer: optimizer.initialState({ ...adapter.weights, ...critic }),
    buffer,
    logPartitions: {},
    firstToken: unwatched,
  }
  const warnings = [warning, another, warnOfOneLane(run.config, run.model.lanes)]
  return { state, warnings: warnings.filter((warning) => warning !== undefined) }
}

function freshAdapter(model: LanguageModel, config: TrainingConfig, random: Random): LoraAdapter {
  if (config.parameters === 'all') return everyWeightOf(model)
  const { rank, alpha, targets } = config.lora
  const { linears, defaultTargets } = model.description
  const lora = { rank, alpha, targets: chooseTargets(targets ?? defaultTargets, linears) }
  return initialAdapter(lora, linears, random)
}
