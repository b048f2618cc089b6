/**
 * @file The loop: sample, reward, replay, learn, report. Everything that a run does is said in its events; nothing is
 * printed and nothing written here.
 */
import { chooseTargets, initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { distinctFraction } from '../evaluation/diversity.ts'
import { type LearnResult, learnStep } from '../gflownet/learn-step.ts'
import { draw, emptyBuffer, insert, type ReplayBuffer } from '../gflownet/replay-buffer.ts'
import { temperedLogReward, untemperedTerms } from '../gflownet/reward-temperature.ts'
import { schedule, warmUp } from '../gflownet/schedules.ts'
import { type Trajectory, terminalLogReward } from '../gflownet/trajectory.ts'
import type { Lane } from '../models/lane.ts'
import { type LanguageModel, parameterCount } from '../models/language-model.ts'
import { type Random, seededRandom } from '../random.ts'
import type { Reward, RewardContext } from '../rewards/reward.ts'
import { type NamedTensors, sizeOf } from '../runtime/host-tensor.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import { type BoundTool, bindTool, type Tool } from '../sampling/tools.ts'
import { behaviourTemperatures, countSources } from './behaviour.ts'
import { checkedRewards } from './checked-rewards.ts'
import { unwatched, watchFirstToken } from './collapse.ts'
import { parseTrainingConfig, type TrainingConfig, type TrainingOptions } from './config.ts'
import type { StepMetrics, TrainingEvent } from './events.ts'
import { seedBuffer } from './known-latents.ts'
import { learnPartition } from './learned-partition.ts'
import { type AdamW, adamW } from './optimizer.ts'
import { type Prompt, type PromptInput, resolvePrompts, supportOf } from './prompts.ts'
import type { TrainingState } from './state.ts'

export type FineTuneOptions = TrainingOptions & {
  model: LanguageModel
  prompts: readonly PromptInput[]
  /** The reward of prompts that have none of their own. */
  reward?: Reward
  /** Starts from this adapter instead of a fresh one. Its rank, alpha and targets hold, not those of `lora`. */
  adapter?: LoraAdapter
  /** Reads along and inserts into latents while they are sampled. */
  tool?: Tool
  /** Goes on from here, as if it had not been stopped. */
  resume?: TrainingState
  /** Ends the run after the step under way, with a last state. */
  signal?: AbortSignal
}

/**
 * Fine-tunes an adapter so that it samples latents in proportion to their reward.
 * @returns events; the last one, `finished`, holds the trained adapter
 * @throws UserError for mistakes in config or prompts before any work, and (exit code 1) for a reward or a gradient that is no
 * number
 */
export async function* fineTune({
  model,
  prompts,
  reward,
  adapter,
  tool,
  resume,
  signal,
  ...options
}: FineTuneOptions): AsyncGenerator<TrainingEvent> {
  const config = parseTrainingConfig(options, 'config')
  const support = supportOf(config, model)
  const maxTokens = support.maxTokens
  const run: Run = {
    model,
    config,
    support,
    tool: tool && bindTool(tool, model.tokenizer),
    prompts: resolvePrompts(prompts, { model, reward, maxTokens }),
    random: seededRandom(config.seed),
    rewardTemperature: schedule(config.rewardTemperature, config.steps),
    learningRate: warmUp(config.optimizer.warmUpSteps, schedule(config.optimizer.learningRate, config.steps)),
  }
  for (const { reward, tokens } of run.prompts)
    await model.lanes.use((lane) => Promise.resolve(reward.check?.(rewardContext(lane, run, tokens))))
  const optimizer = adamW({ ...config.optimizer, learningRate: run.learningRate })
  const seeded = resume ? undefined : await seedBuffer(emptyBuffer(config.replay), run.prompts, run)
  let state = resume ?? initialState(run, optimizer, seeded!.buffer, adapter)
  const parameters = {
    frozen: parameterCount(model.description),
    trained: Object.values(state.adapter.weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  }
  yield { kind: 'started', step: state.step, steps: config.steps, parameters }
  if (seeded?.warning) yield { kind: 'warning', step: 0, ...seeded.warning }

  while (state.step < config.steps && !signal?.aborted) {
    const before = performance.now()
    const results = await model.lanes.each(choosePrompts(run, state.step), (lane, prompt, place) =>
      workOnPrompt(lane, run, state, prompt, place),
    )
    const update = optimizer.update(
      state.adapter.weights,
      meanGradients(results.map(({ learned }) => learned.gradients)),
      state.optimizer,
    )
    const { step } = state
    if (!Number.isFinite(update.gradientNorm))
      throw new UserError(
        {
          what: `the gradient is ${update.gradientNorm}`,
          where: `step ${step + 1}`,
          fix: 'lower optimizer.learningRate or set optimizer.maxGradientNorm, and start again',
        },
        1,
      )
    yield { kind: 'samples', step, samples: results.flatMap(recordsOf).slice(0, 8) }
    state = {
      ...state,
      step: step + 1,
      adapter: { config: state.adapter.config, weights: update.parameters },
      optimizer: update.state,
      buffer: results.reduce((buffer, { prompt, fresh }) => insert(buffer, prompt.name, fresh), state.buffer),
      logPartitions: learnPartitions(state, results, config),
    }
    const metrics = measure(run, state, results, update.gradientNorm)
    const entropy = metrics['policy/firstTokenEntropy']
    const { watch, warning } = watchFirstToken(state.firstToken, entropy, config.collapseFraction)
    state = { ...state, firstToken: watch }
    yield {
      kind: 'step',
      step: state.step,
      metrics: { ...metrics, 'time/stepSeconds': (performance.now() - before) / 1000 },
    }
    if (warning) yield { kind: 'warning', step: state.step, ...warning }
    if (state.step % config.checkpoints.every === 0 && state.step < config.steps)
      yield { kind: 'checkpoint', step: state.step, state }
  }
  yield { kind: 'finished', step: state.step, state, reason: state.step < config.steps ? 'stopped' : 'steps' }
}

/** What stays the same during a run. */
type Run = {
  model: LanguageModel
  config: TrainingConfig
  support: Support
  tool?: BoundTool
  prompts: readonly Prompt[]
  random: Random
  rewardTemperature: (step: number) => number
  learningRate: (step: number) => number
}

/** What a step learned from one prompt. */
type PromptResult = {
  prompt: Prompt
  fresh: Trajectory[]
  learned: LearnResult
  seconds: { sample: number; reward: number; learn: number }
}

function initialState(
  { model, config, random }: Run,
  optimizer: AdamW,
  buffer: ReplayBuffer,
  given?: LoraAdapter,
): TrainingState {
  const adapter = given ? copyOf(given) : freshAdapter(model, config, random)
  return {
    step: 0,
    seed: config.seed,
    adapter,
    optimizer: optimizer.initialState(adapter.weights),
    buffer,
    logPartitions: {},
    firstToken: unwatched,
  }
}

/** Training overwrites its arrays; what the caller gave stays as it is. */
const copyOf = ({ config, weights }: LoraAdapter): LoraAdapter => ({
  config,
  weights: Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
  ),
})

function freshAdapter(model: LanguageModel, config: TrainingConfig, random: Random): LoraAdapter {
  const { rank, alpha, targets } = config.lora
  const { linears, defaultTargets } = model.description
  const lora = { rank, alpha, targets: chooseTargets(targets ?? defaultTargets, linears) }
  return initialAdapter(lora, linears, random)
}

/** The prompts of a step: each pass over all prompts has its own order, and passes follow one another without a gap. */
function choosePrompts({ prompts, config, random }: Run, step: number): Prompt[] {
  return Array.from({ length: config.promptsPerStep }, (_, place) => {
    const turn = step * config.promptsPerStep + place
    const order = shuffled(prompts.length, random, Math.floor(turn / prompts.length))
    return prompts[order[turn % prompts.length]]
  })
}

function shuffled(count: number, random: Random, pass: number): number[] {
  const draws = random.at('order', pass)
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = draws.integer(i + 1)
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  return order
}

/** Sample, reward, replay, learn: one prompt's part of a step. */
async function workOnPrompt(
  lane: Lane,
  run: Run,
  state: TrainingState,
  prompt: Prompt,
  place: number,
): Promise<PromptResult> {
  const { config, support, random } = run
  const model = run.model.description
  const { adapter, step, buffer } = state
  const temperature = run.rewardTemperature(step)
  const times = [performance.now()]

  const replayable = buffer.prompts[prompt.name]?.length ?? 0
  const counts = countSources(config.samplesPerPrompt, config.sources, replayable)
  const temperatures = behaviourTemperatures(counts, config.sources.temperatures)
  const draws = random.at('sample', step, place)
  const drawn = await sampleWithTool(
    lane,
    { model, adapter, support, tool: run.tool },
    { prompt: prompt.tokens, temperatures, draws },
  )
  const latents = drawn.map(({ tokens }) => tokens)
  times.push(performance.now())

  const context = {
    ...rewardContext(lane, run, prompt.tokens),
    ...(run.tool && { inserted: drawn.map(({ inserted }) => inserted) }),
  }
  const rewards = checkedRewards(await prompt.reward.score(context, latents), latents, context, prompt)
  const untempered = untemperedTerms(rewards)
  const fresh = drawn.map(
    ({ tokens, inserted }, n): Trajectory => ({
      tokens,
      ...(inserted.length > 0 && { inserted }),
      logReward: rewards.logReward[n],
      ...(untempered && { untempered: untempered[n] }),
      source: temperatures[n] === 1 ? 'policy' : 'tempered',
    }),
  )
  times.push(performance.now())

  const replayed = draw(buffer, prompt.name, { count: counts.replay, temperature }, random.at('replay', step, place))
  const all = [...fresh, ...replayed]
  const learned = await learnStep(
    lane,
    { model, adapter, support, objective: config.objective },
    {
      prompt: prompt.tokens,
      latents: all.map(({ tokens }) => tokens),
      inserted: all.map(({ inserted = [] }) => inserted),
      logRewards: all.map(({ logReward, untempered }) => temperedLogReward(logReward, temperature, untempered)),
      logPartition: state.logPartitions[prompt.name]?.value ?? 0,
    },
  )
  times.push(performance.now())
  const [sample, reward, learn] = [1, 2, 3].map((i) => (times[i] - times[i - 1]) / 1000)
  return { prompt, fresh, learned, seconds: { sample, reward, learn } }
}

const rewardContext = (lane: Lane, { model, support }: Run, prompt: readonly number[]): RewardContext => ({
  lane,
  model: model.description,
  tokenizer: model.tokenizer,
  support,
  prompt,
})

/** Mean over prompts, added in their order: the result does not depend on who finished first. */
function meanGradients(all: readonly NamedTensors[]): NamedTensors {
  const [first, ...others] = all
  for (const [name, { data }] of Object.entries(first)) {
    const sum = data as Float32Array
    for (const gradients of others) {
      const part = gradients[name].data as Float32Array
      for (let i = 0; i < sum.length; i++) sum[i] += part[i]
    }
    for (let i = 0; i < sum.length; i++) sum[i] /= all.length
  }
  return first
}

function learnPartitions(
  { logPartitions }: TrainingState,
  results: readonly PromptResult[],
  { optimizer }: TrainingConfig,
) {
  const partitions = { ...logPartitions }
  for (const { prompt, learned } of results)
    if (learned.logPartitionGradient !== undefined)
      partitions[prompt.name] = learnPartition(
        partitions[prompt.name],
        learned.logPartitionGradient,
        optimizer.logPartitionRate,
      )
  return partitions
}

function measure(
  run: Run,
  { step, buffer, optimizer }: TrainingState,
  results: readonly PromptResult[],
  gradientNorm: number,
) {
  const done = step - 1
  const fresh = results.flatMap((result) => result.fresh)
  const own = results.flatMap(({ fresh, learned }) =>
    fresh.flatMap((trajectory, n) => (trajectory.source === 'policy' ? [{ trajectory, ...learned.scores[n] }] : [])),
  )
  const seconds = (phase: keyof PromptResult['seconds']) =>
    results.reduce((sum, result) => sum + result.seconds[phase], 0)
  return {
    'loss/objective': mean(results.map(({ learned }) => learned.loss)),
    'reward/logMean': mean(own.map(({ trajectory }) => terminalLogReward(trajectory))),
    'policy/logMean': mean(own.map(({ logQ }) => logQ)),
    'policy/firstTokenEntropy': mean(own.map(({ logTokens, logStop }) => -(logTokens[0] ?? logStop[0]))),
    'samples/distinctFraction': mean(results.map(({ fresh }) => distinctFraction(fresh.map(({ tokens }) => tokens)))),
    'samples/count': fresh.length,
    'samples/length': mean(fresh.map(({ tokens }) => tokens.length)),
    'replay/stored': Object.values(buffer.prompts).reduce((sum, kept) => sum + kept.length, 0),
    'optim/gradientNorm': gradientNorm,
    'optim/learningRate': run.learningRate(optimizer.step - 1),
    'schedule/rewardTemperature': run.rewardTemperature(done),
    'time/sampleSeconds': seconds('sample'),
    'time/rewardSeconds': seconds('reward'),
    'time/learnSeconds': seconds('learn'),
  } satisfies Omit<StepMetrics, 'time/stepSeconds'>
}

const recordsOf = ({ prompt, fresh, learned }: PromptResult) =>
  fresh
    .map((trajectory, n) => ({ trajectory, logQ: learned.scores[n].logQ }))
    .filter(({ trajectory }) => trajectory.source === 'policy')
    .slice(0, 2)
    .map(({ trajectory, logQ }) => ({
      prompt: prompt.name,
      tokens: trajectory.tokens,
      logQ,
      logReward: terminalLogReward(trajectory),
    }))

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
