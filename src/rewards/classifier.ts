/**
 * @file The constraint of a text classifier that is given as an ONNX file, as `optimum-cli export onnx` writes it: tokens
 * in, one logit for each label out.
 */
import { UserError } from '../errors.ts'
import { logSumExp } from '../log-space.ts'
import { int64 } from '../runtime/host-tensor.ts'
import { type OpenClassifier, openClassifier } from './classifier-model.ts'
import { type ClassifierTokenizer, loadClassifierTokenizer } from './classifier-tokenizer.ts'
import type { Reward } from './reward.ts'
import { textReward } from './text-scores.ts'

/** Texts in one pass. */
const AT_ONCE = 64

export type ClassifierOptions = {
  /** The ONNX file. Its inputs are some of input_ids, attention_mask and token_type_ids; its output is called logits. */
  model: string
  /** A folder with tokenizer.json; its config.json, if there is one, has the labels' names. */
  tokenizer: string
  /** The index of the label, or its name. */
  label: number | string
  /** From a latent's text to what is classified; default: without space around it. */
  text?: (latent: string) => string
  /** Tokens of a text that are read; what is longer is cut. */
  maxTokens?: number
}

/**
 * c(Z) = p(label | text), the softmax over the classifier's labels, or with one output its logistic function for label 1.
 * `dispose` ends the classifier's thread; until then it stays loaded. Part: `classifier`.
 * @throws UserError when checked, for files that are missing or of another kind, and for an unknown label
 */
export function classifier({
  model: path,
  tokenizer: folder,
  label,
  text = (latent) => latent.trim(),
  maxTokens = 512,
}: ClassifierOptions): Reward & { dispose: () => Promise<void> } {
  let opened: Promise<{ model: OpenClassifier; tokenizer: ClassifierTokenizer }> | undefined
  const open = async () => ({ tokenizer: loadClassifierTokenizer(folder), model: await openClassifier(path) })
  const reward = textReward('classifier', async (ended) => {
    opened ??= open()
    const { model, tokenizer } = await opened
    const index = tokenizer.labelIndex(label)
    const texts = ended.map(({ text: latent }) => tokenizer.encode(text(latent), maxTokens))
    const scores = new Float64Array(texts.length)
    const byLength = [...texts.keys()].sort((a, b) => texts[a].length - texts[b].length) // little padding
    for (let from = 0; from < byLength.length; from += AT_ONCE) {
      const part = byLength.slice(from, from + AT_ONCE)
      const logits = await logitsOf(
        model,
        part.map((i) => texts[i]),
        tokenizer.padding,
      )
      for (const [k, i] of part.entries()) scores[i] = logLikelihood(logits[k], index, path)
    }
    return scores
  })
  return { ...reward, dispose: async () => void (await (await opened?.catch(() => undefined))?.model.dispose()) }
}

/** Logits of every text, [texts][labels]. */
async function logitsOf(model: OpenClassifier, texts: readonly (readonly number[])[], padding: number) {
  const length = Math.max(...texts.map((tokens) => tokens.length))
  const shape = [texts.length, length]
  const cells = (of: (tokens: readonly number[], i: number) => number) =>
    int64(
      shape,
      texts.flatMap((tokens) => Array.from({ length }, (_, i) => of(tokens, i))),
    )
  const logits = await model.run({
    input_ids: cells((tokens, i) => tokens[i] ?? padding),
    attention_mask: cells((tokens, i) => (i < tokens.length ? 1 : 0)),
    token_type_ids: cells(() => 0),
  })
  const labels = logits.length / texts.length
  return texts.map((_, k) => Array.from(logits.subarray(k * labels, (k + 1) * labels)))
}

/** log p of a label. One logit stands for label 1 against label 0. */
function logLikelihood(logits: readonly number[], label: number, path: string): number {
  const all = logits.length === 1 ? [0, logits[0]] : logits
  if (label < all.length) return all[label] - logSumExp(all)
  throw new UserError({
    what: `label ${label} is asked for, and it tells ${all.length} apart`,
    where: path,
    fix: `choose 0 to ${all.length - 1}`,
  })
}
