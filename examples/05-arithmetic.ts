/**
 * @file Recipe 5, arithmetic with a calculator (Hu et al. 2024, section 4.4): the sampler writes the steps from a question to its
 * answer; wherever it writes "=", a calculator writes the result. What has to be learned is which steps to write.
 *
 *     npx flowtune train examples/05-arithmetic.ts
 *
 * What you should see, after about two minutes on two cores: the untouched model never calls the calculator; nine of ten latents of
 * the sampler do, and nearly all of their equations are right. Held-out sums of two digits come out right in about half ("last result"):
 * it has learned to copy the first number, and is still unsure of the second. What the untouched model writes after the steps,
 * "The answer is …", stays wrong: only the sampler is trained.
 *
 * For the embedded model knows no sums. After worked examples it finds no answer likelier than another, so that its own
 * p(Z Y | demonstrations X) has nothing to teach: a check of the last result stands in for it here, and the steps that the training
 * data brings along are learned from by forward KL. A model that knows some is trained by the posterior itself, on sums of three and four:
 *
 *     npx flowtune train arithmetic --model SmolLM2-135M-Instruct.Q4_1.gguf
 *     npx flowtune predict runs/arithmetic-1 --question "2 + 7 - 5"
 */
import { arithmeticTask, lastResult, makeSums, ownReward, seededRandom, type Task } from 'flowtune'

const task = arithmeticTask()
const training = makeSums({ split: 'train', count: 120, operands: [2] }, seededRandom(0))

export default {
  ...task,
  examples: training,
  prompt: (example, model, demonstrations) => ({
    ...task.prompt(example, model, demonstrations),
    reward: ownReward(
      'right result',
      (text, { logLikelihood }) => 0.1 * logLikelihood - (lastResult(text) === example.answer ? 0 : 60),
    ),
  }),
  defaults: {
    steps: 300,
    promptsPerStep: 16,
    samplesPerPrompt: 4,
    latent: { stop: '.', minTokens: 5, maxTokens: 9, allowedCharacters: ' 0123456789+-=' },
    objective: { name: 'forward-kl' },
    sources: { tempered: 0, replay: 0.5 },
    replay: { drawing: 'priority' },
    rewardTemperature: 1,
  },
} satisfies Task
