/**
 * @file Arithmetic with a calculator (Hu et al. 2024, section 4.4): the steps Z from a question X to its answer Y, drawn in
 * proportion to p(Z Y | demonstrations X). The policy reads the question alone. The calculator writes the result of each step,
 * which is no action of the policy; what is learned is which steps to write.
 *
 * ⊤ is the full stop, with which Y begins in the paper: `… Answer:` ` 2 + 7 = 9, 9 - 5 = 4` `. The answer is 4.`. As
 * there, only digits, spaces, commas and signs may be written, in the policy and, renormalised, in the reward.
 */
import { UserError } from '../errors.ts'
import { describeContext } from '../models/architecture.ts'
import { seededRandom } from '../random.ts'
import { fewShotPosterior } from '../rewards/few-shot.ts'
import { calculator } from '../sampling/calculator.ts'
import { unanswered } from './answers.ts'
import { makeSums } from './arithmetic-data.ts'
import { evaluateArithmetic } from './arithmetic-evaluation.ts'
import {
  answerIn,
  conclusion,
  DEMONSTRATIONS,
  demonstration,
  open,
  othersOf,
  queryOf,
  worked,
} from './arithmetic-text.ts'
import { embeddedSums } from './embedded.ts'
import { type Example, following, type PromptModel, type Task, type TaskAnswer } from './task.ts'

/** For data that says no steps. */
const ownDemonstrations: readonly Example[] = makeSums(
  { split: 'train', count: DEMONSTRATIONS + 1, operands: [3, 4] },
  seededRandom(0),
)

/** @param tool does a calculator write the results? Default true; without it the policy learns to write them too */
export const arithmeticTask = ({ tool = true }: { tool?: boolean } = {}): Task => ({
  name: 'arithmetic',
  summary: 'the steps from a question to its answer, with a calculator',
  columns: { question: 'a sum such as 2 + 7 - 5', answer: 'its value' },
  optionalColumns: { rationale: 'its steps: the first ones are demonstrations, all begin in the replay buffer' },
  answerColumn: 'answer',
  defaults: {
    latent: { stop: '.', minTokens: 5, maxTokens: 32, allowedCharacters: ' 0123456789+-=,', renormaliseReward: true },
    rewardTemperature: { from: 1.1, to: 0.5, steps: 150 },
    sources: { tempered: 0.5, replay: 0.25, temperatures: { from: 0.5, to: 2 } },
  },
  examples: embeddedSums,
  ...(tool && { tool: calculator() }),
  measures: ['logReward', 'likelihood', 'kl', 'paretoK', 'distinct'],
  demonstrations: (training) =>
    [...training.filter(({ rationale }) => rationale), ...ownDemonstrations].slice(0, DEMONSTRATIONS + 1),
  prompt: (example, model, demonstrations) => {
    const { question, answer, rationale } = example
    const shown = shownBefore(example, model, demonstrations)
    const beginning = queryOf(example)
    return {
      name: question.trim(),
      prompt: beginning,
      reward: answer
        ? fewShotPosterior({ demonstrations: shown, beginning, ending: conclusion(example) })
        : unanswered('answer'),
      ...(rationale && { known: [following(worked(rationale))] }),
    }
  },
  answer: answerOf,
  evaluate: (evaluation) => evaluateArithmetic(evaluation, answerOf),
})

export const arithmetic = arithmeticTask()

function answerOf(example: Example, model: PromptModel, demonstrations?: readonly Example[]): TaskAnswer {
  const shown = shownBefore(example, model, demonstrations)
  return {
    beginning: shown.map((text) => `${text}\n`).join('') + queryOf(example),
    open,
    ...(example.answer && { right: { answer: answerIn(example), text: conclusion(example) } }),
  }
}

/** The demonstrations of an example, which is none of them. @throws UserError where they leave no room in the context */
function shownBefore(
  example: Example,
  { tokenizer, name, description }: PromptModel,
  demonstrations: readonly Example[] = [],
): string[] {
  const query = queryOf(example)
  const all = demonstrations.length > 0 ? demonstrations : ownDemonstrations
  const shown = othersOf(example, all).map((other) => demonstration(other, { steps: true }))
  const tokens = tokenizer.encodePrompt([...shown, query].join('\n')).length
  if (tokens < description.dimensions.contextLength) return shown
  throw new UserError({
    what: `the ${shown.length} demonstrations take ${tokens} tokens with the question, and ${name} reads ${describeContext(description)}`,
    where: `the question "${example.question.trim()}"`,
    fix: 'give shorter ones: they are the first rows with a rationale',
  })
}
