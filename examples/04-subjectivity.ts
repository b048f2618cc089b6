/**
 * @file Recipe 4, subjectivity (Hu et al. 2024, section 4.3): does a sentence of a film review tell what happens, or what somebody
 * thinks of it? The sampler gives short reasons, and the untouched model, which reads a reason, says the label.
 *
 *     npx flowtune train examples/04-subjectivity.ts
 *
 * What you should see, after a minute and a half on two cores: asked directly, the embedded model gives all held-out sentences the same
 * label (accuracy 0.5); by the reasons of its own it is right in 0.55 of them, and by the reasons that were learned in 0.95
 * (averaged; 0.9 by vote). KL(q ‖ posterior) falls from 9.6 to 1.6 nats. It is right more often than it says: the
 * calibration error rises, for each reason moves the label's probability only a little. The words below and the power were chosen
 * on other held-out sentences than these.
 *
 * The embedded model knows neither "objective" nor "subjective", but "what happened" and "love"; and since a reason says it little,
 * the label counts with its 8th power here: p(Z | X) p(label | X Z)^8. A larger model does without both:
 *
 *     npx flowtune train subjectivity --model SmolLM2-135M-Instruct.Q4_1.gguf --chat --data train.50.jsonl --test-data test.jsonl
 *     npx flowtune predict runs/subjectivity-1 --text "the songs are lovely ."
 */
import { labelLikelihood, power, product, subjectivityTask, type Task, tempered } from 'flowtune'

const task = subjectivityTask({ words: { objective: 'what happened', subjective: 'love' } })

const labelledSharply: Task['prompt'] = (example, model) => {
  const prompt = task.prompt(example, model)
  const { choices, right } = task.answer!(example, model)
  if (!choices || !right) return prompt
  const label = labelLikelihood({ endings: choices, label: right.answer })
  return { ...prompt, reward: product(tempered(), power(label, 8)) }
}

export default {
  ...task,
  prompt: labelledSharply,
  defaults: {
    steps: 300,
    promptsPerStep: 10,
    samplesPerPrompt: 16,
    latent: { stop: ',', minTokens: 1, maxTokens: 6 },
    rewardTemperature: { from: 1.5, to: 1, steps: 100 },
    sources: { tempered: 0.25, replay: 0.25 },
  },
} satisfies Task
