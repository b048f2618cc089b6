/**
 * @file The loop: collect, learn, update. What is collected and how it is learned from is the method's (`methods/`).
 */
import { copyAdapter } from '../adapters/lora.ts'
import { allEnded } from '../all-ended.ts'
import { UserError } from '../errors.ts'
import type { Lane } from '../models/lane.ts'
import type { Tape } from '../models/tape.ts'
import type { Random } from '../random.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { watchFirstToken } from './collapse.ts'
import { type Collected, keptAhead, takenAhead } from './collected.ts'
import type { StepEvent } from './events.ts'
import type { Result, Run } from './methods/method.ts'
import type { AdamW } from './optimizer.ts'
import type { Prompt } from './prompts.ts'
import type { TrainingState } from './state.ts'
import { measure, recordsOf } from './step-metrics.ts'
import type { Training } from './training.ts'

/**
 * Updates from a state on, until so many have been done or the signal comes.
 * @returns the state after each, which the next one overwrites, and what there is to tell of it
 */
export async function* updates(
  { run, method, optimizer }: Training,
  from: TrainingState,
  { until, signal }: { until: number; signal?: AbortSignal },
): AsyncGenerator<{ state: TrainingState; events: StepEvent[] }> {
  const { model, config } = run
  const { collect, learn } = partsOf({ run, method, optimizer })
  let state = from
  const openLearning = () => model.lanes.use(async (lane) => method.openLearning?.(lane, run, from), 'learn')
  while (state.step < until && !signal?.aborted) {
    const started = performance.now()
    const { step } = state
    // Without overlap each prompt's part is collected where it is learned from.
    const batches = state.ahead ? takenAhead(state.ahead, run.prompts) : config.overlap ? collect(state) : undefined
    if (batches && config.overlap) await allEnded<unknown>([...batches, state === from ? openLearning() : undefined])
    const isAhead = config.overlap && step + 1 < until
    const [learned, ahead] = await Promise.allSettled([
      learn(state, batches),
      // Of a copy: the update overwrites what has not been read by then.
      isAhead ? allEnded(collect({ ...state, step: step + 1, adapter: copyAdapter(state.adapter) })) : undefined,
    ])
    if (learned.status === 'rejected') throw learned.reason
    const { results, rounds, gradientNorm } = learned.value
    const collected = ahead.status === 'fulfilled' ? ahead.value : undefined
    state = { ...learned.value.state, ...(config.overlap && { ahead: collected && keptAhead(collected) }) }
    const metrics = measure(run, state, { results, rounds }, { gradientNorm, started })
    const entropy = metrics['policy/firstTokenEntropy']
    const { watch, warning } = watchFirstToken(state.firstToken, entropy, config.collapseFraction)
    state = { ...state, firstToken: watch }
    const events: StepEvent[] = [
      { kind: 'samples', step, samples: results.flatMap(recordsOf).slice(0, 8) },
      { kind: 'step', step: state.step, metrics },
    ]
    if (warning) events.push({ kind: 'warning', step: state.step, ...warning })
    yield { state, events }
    if (ahead.status === 'rejected') throw ahead.reason
  }
}

/** What is collected, or will be. */
type Collecting = readonly (Collected | Promise<Collected>)[]

/** The two parts of a step, each prompt's on a lane as one is free. */
function partsOf({ run, method, optimizer }: Training) {
  const { lanes } = run.model
  const collect = (state: TrainingState) =>
    choosePrompts(run, state.step).map((prompt, place) =>
      lanes.use((lane) => method.collect(lane, run, state, prompt, place), 'collect'),
    )
  const learnFrom = async (
    state: TrainingState,
    batch: Collected,
    { lane, round, tape }: { lane: Lane; round: number; tape?: Tape },
  ): Promise<Result> => {
    const started = performance.now()
    const learned = await method.learn(lane, run, state, batch, round, tape)
    return { batch, learned, learnSeconds: (performance.now() - started) / 1000 }
  }
  const learnOnce = (state: TrainingState, batches: Collecting, round: number) =>
    allEnded(
      batches.map(async (collecting) => {
        const batch = await collecting
        return lanes.use((lane) => learnFrom(state, batch, { lane, round }), 'learn')
      }),
    )
  /** Each prompt on a lane of its own from sampling to learning, so that what was computed while sampling is there. */
  const collectAndLearn = (state: TrainingState) =>
    allEnded(
      choosePrompts(run, state.step).map((prompt, place) =>
        lanes.use(async (lane) => {
          const tape = await method.openTape?.(lane, run, state, prompt)
          const batch = await method.collect(lane, run, state, prompt, place, tape)
          return learnFrom(state, batch, { lane, round: 0, tape })
        }, 'step'),
      ),
    )
  /** @param batches  what was collected before; otherwise each prompt's part is collected here */
  const learn = async (from: TrainingState, batches?: Collecting) => {
    const results = await (batches ? learnOnce(from, batches, 0) : collectAndLearn(from))
    let update = updated(from, optimizer, results)
    const rounds = [...results]
    for (let round = 1; round < method.rounds(run.config); round++) {
      const again = await learnOnce(
        update.state,
        results.map(({ batch }) => batch),
        round,
      )
      if (method.isEnough?.(run.config, again)) break
      rounds.push(...again)
      update = updated(update.state, optimizer, again)
    }
    const { state, gradientNorm } = update
    return {
      state: { ...state, step: from.step + 1, ...method.remember(run, state, results) },
      ...{ results, rounds, gradientNorm },
    }
  }
  return { collect, learn }
}

/** What the optimizer updates, by name. */
export const trainedOf = ({ adapter, critic }: TrainingState): NamedTensors => ({ ...adapter.weights, ...critic })

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
  if (others.length === 0) return first
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
