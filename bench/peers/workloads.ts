/** @file The steps that are raced over, one prompt each, as plain data: token numbers stand for text. */
import { type Draws, seededRandom } from '../../src/random.ts'

export type Workload = {
  /** Tokens of the prompt X. */
  prompt: number
  /** Tokens that the reference model reads before X, and the policy does not. */
  demonstrations?: number
  samples: number
  /** What the policy chooses of each latent, always the whole number. */
  actions: number
  /** Endings after every prefix; `shared` tokens at their beginning are alike. Without any, ⊤ is a part of the text. */
  endings?: { count: number; tokens: number; shared: number }
  /** Tokens that a tool writes into a third of the latents. */
  answer?: number
}

/** Sections 4.1 to 4.4 of the paper: the next sentence, a story's middle, a reason behind a label, steps of arithmetic. */
export const workloads = {
  continuation: { prompt: 60, samples: 64, actions: 12 },
  infilling: { prompt: 60, samples: 64, actions: 15, endings: { count: 1, tokens: 12, shared: 0 } },
  // ", so it is objective." and two others
  labels: { prompt: 40, samples: 20, actions: 5, endings: { count: 3, tokens: 6, shared: 4 } },
  // "2 + 7 =" asks for " 9"
  arithmetic: {
    ...{ prompt: 16, demonstrations: 200, samples: 20, actions: 18, answer: 2 },
    endings: { count: 1, tokens: 7, shared: 0 },
  },
} satisfies Record<string, Workload>

export type WorkloadName = keyof typeof workloads
export const workloadNames = Object.keys(workloads) as WorkloadName[]

/** A step with its tokens. Latents are fixed, so that whoever scores them and learns from them must find the same. */
export type Step = {
  prompt: number[]
  demonstrations: number[]
  latents: number[][]
  /** The prefixes after which the policy acts, by their lengths, [samples][actions + 1]. */
  states: number[][]
  endings: number[][]
  /** The ending that the reward is for, against the others; null where there is no other. */
  label: number | null
  /** The tool answers the first latents, each after so many actions. */
  tool: { after: number[]; tokens: number[] }
  stop: number
  /** The reward is R^(1/temperature). */
  temperature: number
  optimizer: { learningRate: number; betas: [number, number]; epsilon: number; weightDecay: number }
}

/** The calls of a tool do not come after the same action in all latents: numbers have more digits or fewer. */
const FIRST_CALL = 4
const CALL_PLACES = 3

/** Step `number` of a run: demonstrations are the run's, all else is new, so that nobody can know it from an earlier step. */
export function stepOf(
  workload: Workload,
  vocabulary: number,
  { seed, number }: { seed: number; number: number },
): Step {
  const { prompt, demonstrations = 0, samples, actions, endings, answer = 0 } = workload
  const random = seededRandom(seed)
  const stop = 0
  const drawing = (draws: Draws) => (count: number) =>
    Array.from({ length: count }, () => 1 + draws.integer(vocabulary - 1))
  const tokens = drawing(random.at('step', number))
  const answered = answer > 0 ? Math.round(samples / 3) : 0
  const after = Array.from({ length: answered }, (_, n) => FIRST_CALL + Math.floor((n * CALL_PLACES) / answered))
  const states = Array.from({ length: samples }, (_, n) =>
    Array.from({ length: actions + 1 }, (_, k) => (k >= after[n] ? k + answer : k)),
  )
  const tool = { after, tokens: tokens(answer) }
  const latents = states.map((lengths, n) => {
    const latent = tokens(lengths[actions])
    if (n < answered) latent.splice(after[n], answer, ...tool.tokens)
    return latent
  })
  const alike = tokens(endings?.shared ?? 0)
  return {
    ...{ prompt: tokens(prompt), latents, states, tool, stop },
    demonstrations: drawing(random.at('demonstrations'))(demonstrations),
    endings: Array.from({ length: endings?.count ?? 0 }, () => [...alike, ...tokens(endings!.tokens - alike.length)]),
    label: endings && endings.count > 1 ? 0 : null,
    temperature: 0.9,
    optimizer: { learningRate: 1e-4, betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.01 },
  }
}

/** The places of a latent's tokens that the tool wrote: those that are no state. */
export const insertedOf = ({ latents, states }: Pick<Step, 'latents' | 'states'>): number[][] =>
  latents.map((latent, n) => latent.map((_, i) => i).filter((i) => !states[n].includes(i)))
