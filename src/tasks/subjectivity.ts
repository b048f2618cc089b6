/**
 * @file Subjectivity (Hu et al. 2024, section 4.3): a short rationale Z for the label of a film review's sentence, drawn in
 * proportion to p(Z | X) p(label | X Z). The policy reads the sentence alone, not its label: from a few labelled sentences it
 * learns which rationales lead to the right label, and by them it labels new ones.
 *
 * ⊤ is the comma. In the paper a special token ends Z and Y begins with the comma: `… This review is` Z `, so it is objective.`.
 * With the comma as ⊤ it is the same text and the same density, and every model has one.
 */
import { UserError } from '../errors.ts'
import { labelPosterior } from '../rewards/label-posterior.ts'
import { unanswered } from './answers.ts'
import { evaluateClassification } from './classification.ts'
import { embeddedReviews } from './embedded.ts'
import { type Example, following, type Task, type TaskAnswer } from './task.ts'

const labels = ['objective', 'subjective'] as const
type Label = (typeof labels)[number]

type SubjectivityOptions = {
  /** How the model says the labels; default: by their names. A small model may know neither name, but other words. */
  words?: Readonly<Record<Label, string>>
  /**
   * The label's likelihood as a fraction of that of both: a rationale then gains nothing by making both of them likely.
   * Default false, as in the paper.
   */
  normalised?: boolean
}

export function subjectivityTask({
  words = { objective: 'objective', subjective: 'subjective' },
  normalised = false,
}: SubjectivityOptions = {}): Task {
  const choices = Object.fromEntries(labels.map((label) => [label, ` so it is ${words[label]}.`])) // after the comma
  const question = (text: string) =>
    `Classify this movie review as ${words.objective} or ${words.subjective}: "${text.trim()}"`
  const lead = 'This review is'
  const query = ({ text }: Example) => `${question(text)} ${lead}`
  const answerOf = (example: Example): TaskAnswer => {
    if (!example.label) return { choices }
    const answer = labelOf(example)
    return { choices, right: { answer, text: choices[answer] } }
  }
  return {
    name: 'subjectivity',
    summary: 'why a sentence of a film review is objective or subjective, and which of them it is',
    columns: { text: 'a sentence of a film review', label: 'objective or 0, subjective or 1' },
    optionalColumns: { known: 'a rationale, which begins in the replay buffer' },
    answerColumn: 'label',
    defaults: {
      latent: { stop: ',', minTokens: 1, maxTokens: 5 },
      rewardTemperature: { from: 1.2, to: 1, steps: 150 },
      sources: { tempered: 0.25, replay: 0.25 },
      replay: { nearDuplicate: 0.1 },
    },
    examples: embeddedReviews,
    measures: ['logReward', 'likelihood', 'kl', 'paretoK', 'distinct'],
    check: requireBoth,
    prompt: (example) => ({
      name: example.text.trim(),
      prompt: query(example),
      reward: example.label
        ? labelPosterior({ endings: choices, label: labelOf(example), normalised })
        : unanswered('label'),
      ...(example.known && { known: [following(example.known)] }),
    }),
    chat: ({ text }) => ({ messages: [{ role: 'user', content: question(text) }], reply: lead }),
    answer: answerOf,
    evaluate: (evaluation) => evaluateClassification(evaluation, { words, labelOf, answerOf, query }),
  }
}

export const subjectivity = subjectivityTask()

/** @throws UserError for what is no label */
function labelOf({ label: given, text }: Example): Label {
  const label = labels.find((label, number) => [label, String(number)].includes(given.trim().toLowerCase()))
  if (label) return label
  throw new UserError({
    what: `"${given}" is no label`,
    where: `the review "${text.trim()}"`,
    fix: 'write objective or 0, subjective or 1',
  })
}

/** @throws UserError where all examples have the same label */
function requireBoth(training: readonly Example[]): void {
  const found = new Set(training.map(labelOf))
  if (found.size > 1) return
  throw new UserError({
    what: `every review is ${[...found][0]}: there is nothing to tell them apart by`,
    where: 'data',
    fix: 'add some of the other label',
  })
}
