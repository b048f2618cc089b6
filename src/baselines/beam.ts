/**
 * @file Beam search for latents of high likelihood, in groups that may be told to differ. Length is not rewarded: a score is
 * the plain log-likelihood (a "length penalty" of zero). With one group it is ordinary beam search; diverse-beam.ts has more.
 */
import type { Lane } from '../models/lane.ts'
import type { Latent } from '../sampling/latent.ts'
import type { Sampler } from '../sampling/sample.ts'
import { inferenceMethod, requireWhole } from './method.ts'
import { type State, withNextTokens } from './next-tokens.ts'

/**
 * Ordinary beam search; gives the best latent that it finds, however many are wanted (Hu et al. 2024, section 4.1, with N and
 * with 5 N beams).
 * @param beamsPerSample beams for each latent that is wanted
 * @throws UserError where that is no whole number of at least 1
 */
export function beam(beamsPerSample = 1) {
  requireWhole('the number of beams per sample', beamsPerSample)
  return inferenceMethod(`beam, ${beamsPerSample} per sample`, async (lane, query) => {
    const [[best]] = await searchBeams(lane, query, { groups: 1, beams: beamsPerSample * query.samples, penalty: 0 })
    return { latents: [best.latent], logQ: [best.logQ] }
  })
}

/** A latent that has ended, its log q with ⊤, and what it is ranked by: log q less all penalties. */
export type Hypothesis = { latent: Latent; logQ: number; score: number }
/** One that goes on; what it is ranked by is that of the tokens that were chosen. */
type Open = { state: State; logQ: number; score: number }
type Group = { open: Open[]; ended: Hypothesis[] }
type Candidate = { parent: number; token: number; score: number }

/**
 * The best latents that each group finds, best first: at most `beams` of them, at least one.
 *
 * At every step a group keeps its `beams` best open latents; each may also end, and the `beams` best that ended are kept
 * apart. A group is done when no open latent can still overtake them, which is known since scores only fall. With as many
 * beams as there are prefixes of a length the result is the exact optimum.
 * @param penalty taken from the score of a token for each time that earlier groups chose it at the same place; ⊤ is exempt
 */
export function searchBeams(
  lane: Lane,
  { sampler, prompt }: { sampler: Sampler; prompt: readonly number[] },
  { groups: count, beams, penalty }: { groups: number; beams: number; penalty: number },
): Promise<Hypothesis[][]> {
  const { model, support } = sampler
  return withNextTokens(lane, sampler, prompt, async (next) => {
    const start: Open = { state: next.first, logQ: 0, score: 0 }
    const groups = Array.from({ length: count }, (): Group => ({ open: [start], ended: [] }))
    while (groups.some(({ open }) => open.length > 0)) {
      const penalties = new Float64Array(model.dimensions.vocabulary)
      const steps: { parent: number; token: number }[] = []
      let before = 0 // open latents of the groups before, as `next` counts them
      const chosen = groups.map((group) => {
        const { open } = group
        group.ended = best([...group.ended, ...endings(open, support.stop)], beams)
        const candidates = bestTokens(open, { beams, penalties, stop: support.stop })
        const done = group.ended.length === beams && !(candidates[0]?.score > group.ended[beams - 1].score)
        const goesOn = done ? [] : candidates
        for (const { parent, token } of goesOn) {
          steps.push({ parent: before + parent, token })
          penalties[token] += penalty
        }
        before += open.length
        return goesOn
      })
      const states = await next.after(steps)
      for (const [g, group] of groups.entries()) {
        const { open } = group
        group.open = chosen[g].map(({ parent, token, score }) => ({
          state: states.shift()!,
          logQ: open[parent].logQ + open[parent].state.next[token],
          score,
        }))
      }
    }
    return groups.map(({ ended }) => ended)
  })
}

/** The open latents with ⊤, where it may follow. */
const endings = (open: readonly Open[], stop: number): Hypothesis[] =>
  open.flatMap(({ state: { latent, next }, logQ, score }) =>
    next[stop] > -Infinity ? [{ latent, logQ: logQ + next[stop], score: score + next[stop] }] : [],
  )

const best = (hypotheses: readonly Hypothesis[], count: number) =>
  [...hypotheses].sort((a, b) => b.score - a.score).slice(0, count)

/** The best continuations other than ⊤, best first; of equals the one that is met first. */
function bestTokens(
  open: readonly Open[],
  { beams, penalties, stop }: { beams: number; penalties: Float64Array; stop: number },
): Candidate[] {
  const found: Candidate[] = []
  for (const [parent, { state, score: soFar }] of open.entries())
    for (let token = 0; token < penalties.length; token++) {
      const score = soFar + state.next[token] - penalties[token]
      const worst = found.length < beams ? -Infinity : found[beams - 1].score
      if (token === stop || !(score > worst)) continue
      const place = found.findIndex((other) => other.score < score)
      found.splice(place < 0 ? found.length : place, 0, { parent, token, score })
      if (found.length > beams) found.pop()
    }
  return found
}
