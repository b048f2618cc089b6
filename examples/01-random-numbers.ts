/**
 * @file Recipe 1, random numbers (Hu et al. 2024, section 2): asked for a whole number drawn uniformly between 0 and 100, a model
 * draws one so. From the whole vocabulary: that a number is written in digits is learned, too.
 *
 *     npx flowtune train examples/01-random-numbers.ts
 *
 * What you should see, in less than a minute on two cores (exactly, by enumeration of every tokenisation, not by sampling): the
 * embedded model writes one of the 101 numbers once in eight thousand times. After training 99.4 % is valid and KL(q ‖ uniform)
 * is 0.004 nats; what is left of both is what a frozen output layer of width 64 cannot do. numbers.png in the run's folder
 * shows the probability of each number, before, after, and for the base model at the temperature that suits it best.
 *
 * Beside it:
 *
 *     npx flowtune train examples/01-random-numbers.ts --method ppo --steps 100       # of three seeds one found a
 *                                                                                     # number, and wrote no other
 *     npx flowtune train examples/01-random-numbers.ts --method ppo --steps 100 \
 *       --set 'latent.allowedTokens=["0","1","2","3","4","5","6","7","8","9"]'        # valid from 30 % to 100 %, KL 1.9
 *     npx flowtune train examples/01-random-numbers.ts --data data/random-numbers/train.csv \
 *       --test-data data/random-numbers/held-out.csv                                  # on ranges not seen 66 % valid, KL 0.9
 *
 * A real model writes numbers as it is, but not uniformly. SmolLM2-135M-Instruct (`--model SmolLM2-135M-Instruct.Q4_1.gguf
 * --steps 30`) goes from 5.8 % valid and 1.26 nats to 99.7 % and 0.008.
 */
import { type Task, tasks } from 'flowtune'

const { defaults, ...randomNumbers } = tasks['random-numbers']

const recipe: Task = {
  ...randomNumbers,
  examples: [{ prompt: 'The following is a random integer drawn uniformly between 0 and 100: ', from: '0', to: '100' }],
  defaults: {
    ...defaults,
    steps: 400,
    samplesPerPrompt: 64,
    latent: { stop: '\n', minTokens: 1, maxTokens: 3 }, // a line of one to three tokens
    sources: { tempered: 0, replay: 0.25 }, // numbers that were found once come back
  },
}
export default recipe
