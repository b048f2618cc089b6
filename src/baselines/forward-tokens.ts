/**
 * @file What a method costs: the number of tokens that go through the model's layers, whoever asks for them (the sampler, the
 * policy's score, a reward). Every method is counted in this one unit, so that quality can be held against compute. A prompt counts
 * whenever it is asked for, also where the lane has kept it: what a method costs does not depend on what ran before it.
 */
import { type Lane, wrapRuns } from '../models/lane.ts'

/** The inputs by which programs are given the tokens that they evaluate. */
const TOKEN_INPUTS = ['promptTokens', 'latentTokens', 'branchTokens', 'newTokens']

/** The lane, and how many tokens have been evaluated on it through this very object. */
export function countForwardTokens(lane: Lane): { lane: Lane; forwardTokens: () => number } {
  let tokens = 0
  const prompts: Lane['prompts'] = {
    use: (asked, read, use) => {
      tokens += asked.prompt.length
      return lane.prompts.use(asked, read, use)
    },
  }
  const counting = wrapRuns({ ...lane, prompts }, (run) => (inputs, ...where) => {
    for (const name of TOKEN_INPUTS) tokens += inputs[name]?.shape[0] ?? 0
    return run(inputs, ...where)
  })
  return { lane: counting, forwardTokens: () => tokens }
}
