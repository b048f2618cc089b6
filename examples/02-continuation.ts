/**
 * @file Recipe 2, continuation (Hu et al. 2024, section 4.1): the next sentence of a text from p(Z | X)^(1/T): likely as a whole,
 * which sampling token by token at a low temperature is not, and diverse, which search is not.
 *
 *     npx flowtune train examples/02-continuation.ts --out runs/continuation
 *     npx flowtune evaluate runs/continuation --baselines
 *
 * What you should see, in about two minutes on two cores: KL(q ‖ posterior) falls from 4.8 to 0.8 nats, mean log-likelihood rises from −28 to
 * −13. Then, beside decoding and search, frontier.png, the paper's Figure 3: of eight samples the best is nearly as likely as what
 * beam search finds, and they differ as much as those of nucleus sampling nearly; importance resampling from the base model needs twenty times
 * the tokens for samples as good.
 *
 * On web text with a larger model; runs at several T, each with several seeds, make the whole curve of Figure 3:
 *
 *     npx flowtune train examples/02-continuation.ts --model SmolLM2-135M-Instruct.Q4_1.gguf --data prompts.txt --set rewardTemperature=0.9 --seed 1
 *     npx flowtune evaluate RUN --baselines --encoder all-MiniLM-L6-v2
 *     npx flowtune compare RUN… --out pictures
 */
import { type Task, tasks } from 'flowtune'

const recipe: Task = {
  ...tasks.continuation,
  defaults: {
    ...tasks.continuation.defaults,
    steps: 200,
    rewardTemperature: { from: 1, to: 0.8, steps: 100 },
  },
}
export default recipe
