/** @file What this package brings along: a small language model and texts that it wrote, so that tasks run by themselves. */
import { fileURLToPath } from 'node:url'

const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const dataSet = (folder: string, extension: string) => ({
  data: inPackage(`data/${folder}/train.${extension}`),
  testData: inPackage(`data/${folder}/held-out.${extension}`),
})

export const embeddedModel = inPackage('models/stories260K')
/** Beginnings and endings, for infilling. */
export const embeddedStories = dataSet('stories', 'jsonl')
/** One to three sentences each, for continuation. */
export const embeddedPrompts = dataSet('prompts', 'txt')
/** Sentences of film reviews with their labels, for subjectivity. */
export const embeddedReviews = dataSet('reviews', 'jsonl')
/** Sums of three to five digits, for arithmetic. */
export const embeddedSums = dataSet('arithmetic', 'jsonl')
