/**
 * @file Expectation-maximisation (Hu et al. 2024, section 3.3). In each round the policy q(Z | X) first learns the posterior under the
 * reference model as it is by then (E-step: the usual training), then the reference model's own adapter θ learns from what the
 * policy samples (M-step, `maximisation.ts`). Both go on from where they were: their optimizers, schedules and step counts
 * are those of one run each, and the state of the one holds that of the other.
 */
import { insert, type ReplayBuffer, stored } from '../gflownet/replay-buffer.ts'
import type { Random } from '../random.ts'
import { rewarded } from './checked-rewards.ts'
import type { TrainingConfig } from './config.ts'
import type { Course, Update } from './course.ts'
import type { Phase, StepEvent } from './events.ts'
import { updates } from './loop.ts'
import { maximisation } from './maximisation.ts'
import { methodOf } from './methods/index.ts'
import type { Run } from './methods/method.ts'
import type { TrainingState } from './state.ts'
import { beginTraining, prepareTraining, type Training, type TrainingMaterial } from './training.ts'

/** @throws UserError for mistakes in config or prompts, and for prompts without an answer */
export async function alternating(
  material: TrainingMaterial,
  config: TrainingConfig,
): Promise<Pick<Course, 'begin' | 'updates'>> {
  let policy: TrainingState['adapter']
  const { em } = config
  const method = maximisation(em, () => policy)
  const lengths = { expectation: em.samples > 0 ? config.steps : 0, maximisation: em.steps }
  // Without latents there is nothing for a policy to learn: it stays as it begins.
  const usual = em.samples > 0 ? methodOf(config.method) : method
  const expectation = await prepareTraining(material, { ...config, steps: em.rounds * lengths.expectation }, usual)
  const { run, ...others } = await prepareTraining(material, maximisationConfig(config), method)
  const maximiser = { ...others, run: { ...run, random: within(run.random, 'maximisation') } }

  return {
    async begin(adapter) {
      const { state, warnings } = await beginTraining(expectation, adapter)
      const reference = await beginTraining(maximiser, material.reference)
      return { state: { ...state, reference: reference.state }, warnings: [...warnings, ...reference.warnings] }
    },
    async *updates(from, signal): AsyncGenerator<Update> {
      let state = from as TrainingState & { reference: TrainingState }
      for (let phase = phaseOf(state, lengths, em.rounds); phase; phase = phaseOf(state, lengths, em.rounds)) {
        if (signal?.aborted) return
        const { name, round } = phase
        const { step, reference } = state
        const until = round * lengths[name]
        const told = (state: TrainingState, events: readonly StepEvent[], others: number): Update => ({
          state,
          events: events.map((event) => ({ ...event, step: event.step + others })),
          phase,
        })
        if (name === 'expectation') {
          const training = underReference(expectation, reference.adapter)
          const isStale = round > 1 && step === (round - 1) * lengths.expectation
          const start = isStale ? await scoredAgain(state, training.run) : state
          for await (const update of updates(training, start, { until, signal })) {
            state = { ...update.state, reference }
            yield told(state, update.events, reference.step)
          }
        } else {
          policy = state.adapter
          for await (const update of updates(maximiser, reference, { until, signal })) {
            state = { ...state, reference: update.state }
            yield told(state, update.events, step)
          }
        }
      }
    },
  }
}

/** What comes next after so many steps of both; undefined: nothing. */
function phaseOf(
  { step, reference }: TrainingState & { reference: TrainingState },
  lengths: Record<Phase['name'], number>,
  rounds: number,
): Phase | undefined {
  const round = 1 + Math.floor(reference.step / lengths.maximisation)
  if (round > rounds) return undefined
  return { name: step < round * lengths.expectation ? 'expectation' : 'maximisation', round }
}

const maximisationConfig = (config: TrainingConfig): TrainingConfig => ({
  ...config,
  steps: config.em.rounds * config.em.steps,
  collapseFraction: 0, // the policy does not change
  overlap: false,
  optimizer: { ...config.optimizer, learningRate: config.em.learningRate },
})

const underReference = (training: Training, reference: TrainingState['adapter']): Training => ({
  ...training,
  run: { ...training.run, reference },
})

/** Draws of their own for a part of a run. */
const within = ({ seed, at }: Random, part: string): Random => ({
  seed,
  at: (name, ...coordinates) => at(part, name, ...coordinates),
})

/**
 * The state with the stored latents scored by the reference model of today. An M-step makes their log-rewards stale, and to
 * forget them would cost more than one pass over them: good latents, those of the user's data among them, are hard to find
 * again. A learned log Z(X) is another number now, and begins anew.
 */
async function scoredAgain<State extends TrainingState>(state: State, run: Run): Promise<State> {
  const kept = run.prompts
    .map((prompt) => ({ prompt, trajectories: stored(state.buffer, prompt.name) }))
    .filter(({ trajectories }) => trajectories.length > 0)
  const scored = await run.model.lanes.each(kept, async (lane, { prompt, trajectories }) => {
    const latents = trajectories.map(({ tokens, inserted = [] }) => ({ tokens, inserted }))
    const again = await rewarded(lane, run, prompt, latents)
    return again.map((latent, n) => ({ ...latent, source: trajectories[n].source }))
  })
  const empty = { ...state.buffer, prompts: {} }
  const buffer = scored.reduce<ReplayBuffer>((all, own, i) => insert(all, kept[i].prompt.name, own), empty)
  return { ...state, buffer, logPartitions: {} }
}
