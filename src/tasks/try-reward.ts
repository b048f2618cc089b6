/** @file A user's own reward and tool are tried before a run is made for them. */
import { UserError } from '../errors.ts'
import type { LanguageModel } from '../models/language-model.ts'
import { innerBias, type Support } from '../sampling/support.ts'
import { bindTool, type Tool } from '../sampling/tools.ts'
import { checkedRewards } from '../trainers/checked-rewards.ts'
import type { Prompt } from '../trainers/prompts.ts'

/** Asks a user's reward once, for any latent. @throws UserError where it fails or gives no numbers */
export async function tryReward(
  prompt: Prompt,
  { model, support }: { model: LanguageModel; support: Support },
): Promise<void> {
  const { description, tokenizer, lanes } = model
  const { vocabulary } = description.dimensions
  const token = innerBias(support, vocabulary).indexOf(0)
  const latents = [new Array<number>(Math.max(1, support.minTokens)).fill(token)]
  await tried(
    lanes.use(async (lane) => {
      const context = { lane, model: description, tokenizer, support, prompt: prompt.tokens }
      checkedRewards(await prompt.reward.score(context, latents), latents, context, prompt)
    }),
  )
}

/** Calls a user's tool once, by its trigger alone. @throws UserError where it fails or takes too long */
export const tryTool = (tool: Tool, { tokenizer }: LanguageModel): Promise<void> =>
  tried(bindTool(tool, tokenizer)(tokenizer.encodeContinuation(tool.trigger)))

/** What is refused here is no failure of a run: nothing has been done yet. */
async function tried(attempt: Promise<unknown>): Promise<void> {
  try {
    await attempt
  } catch (error) {
    throw error instanceof UserError ? new UserError(error.complaint) : error
  }
}
