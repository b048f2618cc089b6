/**
 * @file The loop: collect, learn, update, report. What is collected and how it is learned from is the method's
 * (`methods/`). Everything that a run does is said in its events; nothing is printed and nothing written here.
 */
import { chooseTargets, initialAdapter, type LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { distinctFraction } from '../evaluation/diversity.ts'
import { schedule, warmUp } from '../gflownet/schedules.ts'
import { terminalLogReward } from '../gflownet/trajectory.ts'
import { type LanguageModel, parameterCount } from '../models/language-model.ts'
import { type Random, seededRandom } from '../random.ts'
import type { Reward } from '../rewards/reward.ts'
import { type NamedTensors, sizeOf } from '../runtime/host-tensor.ts'
import { bindTool, type Tool } from '../sampling/tools.ts'
import { unwatched, watchFirstToken } from './collapse.ts'
import { parseTrainingConfig, type TrainingConfig, type TrainingOptions } from './config.ts'
import type { StepMetrics, TrainingEvent } from './events.ts'
import { methodOf } from './methods/index.ts'
import { type Beginning, type Learned, type Result, type Run, rewardContext } from './methods/method.ts'
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
  /** The reference model's own adapter, of which rewards are computed; default: the model as it is. */
  reference?: LoraAdapter
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
  reference,
  tool,
  resume,
  signal,
  ...options
}: FineTuneOptions): AsyncGenerator<TrainingEvent> {
  const config = parseTrainingConfig(options, 'config')
  const support = supportOf(config, model)
  const maxTokens = support.maxTokens
  const method = methodOf(config.method)
  const run: Run = {
    model,
    config,
    support,
    reference,
    tool: tool && bindTool(tool, model.tokenizer),
    prompts: resolvePrompts(prompts, { model, reward, maxTokens }),
    random: seededRandom(config.seed),
    rewardTemperature: schedule(config.rewardTemperature, config.steps),
    learningRate: warmUp(
      config.optimizer.warmUpSteps,
      schedule(config.optimizer.learningRate, config.steps * method.rounds(config)),
    ),
  }
  for (const { reward, tokens } of run.prompts)
    await model.lanes.use((lane) => Promise.resolve(reward.check?.(rewardContext(lane, run, tokens))))
  const optimizer = adamW({ ...config.optimizer, learningRate: run.learningRate })
  const begun = resume ? undefined : await method.begin(run)
  let state = resume ?? initialState(run, optimizer, begun!, adapter)
  const parameters = {
    frozen: parameterCount(model.description),
    trained: Object.values(trainedOf(state)).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  }
  yield { kind: 'started', step: state.step, steps: config.steps, parameters }
  if (begun?.warning) yield { kind: 'warning', step: 0, ...begun.warning }

  while (state.step < config.steps && !signal?.aborted) {
    const before = performance.now()
    const { step } = state
    const results = await model.lanes.each(choosePrompts(run, step), async (lane, prompt, place): Promise<Result> => {
      const batch = await method.collect(lane, run, state, prompt, place)
      return { batch, ...(await timed(() => method.learn(lane, run, state, batch, 0))) }
    })
    let update = updated(state, optimizer, results)
    const rounds = [...results]
    for (let round = 1; round < method.rounds(config); round++) {
      const { state } = update
      const again = await model.lanes.each(results, async (lane, { batch }) => ({
        batch,
        ...(await timed(() => method.learn(lane, run, state, batch, round))),
      }))
      if (method.isEnough?.(config, again)) break
      rounds.push(...again)
      update = updated(state, optimizer, again)
    }
    yield { kind: 'samples', step, samples: results.flatMap(recordsOf).slice(0, 8) }
    state = { ...update.state, step: step + 1, ...method.remember(run, update.state, results) }
    const metrics = measure(run, state, { results, rounds }, { gradientNorm: update.gradientNorm, started: before })
    const entropy = metrics['policy/firstTokenEntropy']
    const { watch, warning } = watchFirstToken(state.firstToken, entropy, config.collapseFraction)
    state = { ...state, firstToken: watch }
    yield { kind: 'step', step: state.step, metrics }
    if (warning) yield { kind: 'warning', step: state.step, ...warning }
    if (state.step % config.checkpoints.every === 0 && state.step < config.steps)
      yield { kind: 'checkpoint', step: state.step, state }
  }
  yield { kind: 'finished', step: state.step, state, reason: state.step < config.steps ? 'stopped' : 'steps' }
}

function initialState(
  { model, config, random }: Run,
  optimizer: AdamW,
  { buffer, critic = {} }: Beginning,
  given?: LoraAdapter,
): TrainingState {
  const adapter = given ? copyOf(given) : freshAdapter(model, config, random)
  return {
    step: 0,
    seed: config.seed,
    adapter,
    critic,
    optimizer: optimizer.initialState({ ...adapter.weights, ...critic }),
    buffer,
    logPartitions: {},
    firstToken: unwatched,
  }
}

const trainedOf = ({ adapter, critic }: TrainingState): NamedTensors => ({ ...adapter.weights, ...critic })

/** The state after an update by the mean gradient of the prompts. @throws UserError (exit code 1) where that is no number */
function updated(state: TrainingState, optimizer: AdamW, results: readonly Result[]) {
  const gradients = meanGradients(results.map(({ learned }) => learned.gradients))
  const { parameters, state: moments, gradientNorm } = optimizer.update(trainedOf(state), gradients, state.optimizer)
  if (!Number.isFinite(gradientNorm))
    throw new UserError(
      {
        what: `the gradient is ${gradientNorm}`,
        where: `step ${state.step + 1}`,
        fix: 'lower optimizer.learningRate or set optimizer.maxGradientNorm, and start again',
      },
      1,
    )
  const among = (names: NamedTensors) => Object.fromEntries(Object.keys(names).map((name) => [name, parameters[name]]))
  const adapter = { config: state.adapter.config, weights: among(state.adapter.weights) }
  return { state: { ...state, adapter, critic: among(state.critic), optimizer: moments }, gradientNorm }
}

async function timed(learn: () => Promise<Learned>): Promise<Pick<Result, 'learned' | 'learnSeconds'>> {
  const started = performance.now()
  const learned = await learn()
  return { learned, learnSeconds: (performance.now() - started) / 1000 }
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

function measure(
  run: Run,
  { step, buffer, optimizer }: TrainingState,
  { results, rounds }: Record<'results' | 'rounds', readonly Result[]>,
  { gradientNorm, started }: { gradientNorm: number; started: number },
): StepMetrics {
  const fresh = results.flatMap(({ batch }) => batch.fresh)
  const own = results.flatMap(({ batch, learned }) =>
    batch.fresh.flatMap((trajectory, n) =>
      trajectory.source === 'policy' ? [{ trajectory, ...learned.scores[n] }] : [],
    ),
  )
  const seconds = (of: (result: Result) => number) => results.reduce((sum, result) => sum + of(result), 0)
  return {
    'loss/objective': mean(results.map(({ learned }) => learned.loss)),
    'reward/logMean': mean(own.map(({ trajectory }) => terminalLogReward(trajectory))),
    'policy/logMean': mean(own.map(({ logQ }) => logQ)),
    'policy/firstTokenEntropy': mean(own.map(({ logTokens, logStop }) => -(logTokens[0] ?? logStop[0]))),
    'samples/distinctFraction': mean(
      results.map(({ batch }) => distinctFraction(batch.fresh.map(({ tokens }) => tokens))),
    ),
    'samples/count': fresh.length,
    'samples/length': mean(fresh.map(({ tokens }) => tokens.length)),
    'replay/stored': Object.values(buffer.prompts).reduce((sum, kept) => sum + kept.length, 0),
    'optim/gradientNorm': gradientNorm,
    'optim/learningRate': run.learningRate(optimizer.step - 1),
    'schedule/rewardTemperature': run.rewardTemperature(step - 1),
    'time/sampleSeconds': seconds(({ batch }) => batch.seconds.sample),
    'time/rewardSeconds': seconds(({ batch }) => batch.seconds.reward),
    'time/learnSeconds': rounds.reduce((sum, { learnSeconds }) => sum + learnSeconds, 0),
    'time/stepSeconds': (performance.now() - started) / 1000,
    ...meanFigures(rounds),
  }
}

/** Means over prompts and rounds of what a method tells besides. */
const meanFigures = (results: readonly Result[]): Record<string, number> =>
  Object.fromEntries(
    Object.keys(results[0].learned.figures ?? {}).map((name) => [
      name,
      mean(results.map(({ learned }) => learned.figures![name])),
    ]),
  )

const recordsOf = ({ batch: { prompt, fresh }, learned }: Result) =>
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
