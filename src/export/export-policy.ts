import { scoreTexts, type Texts } from './held-out.ts'
import { placed, refuseTaken } from './placed.ts'
import type { Policy } from './policy.ts'
import { type ReadBack, type Verification, verify } from './verify.ts'

/** A form in which a policy can leave. */
export type Exporter = {
  /** @throws UserError where the policy cannot be exported so, under this name or on this machine; nothing was done yet */
  check(policy: Policy, path: string): Promise<void>
  /** Makes the folder or file. */
  write(policy: Policy, path: string): void
  /** Opens what was made with the software that reads it. */
  open(policy: Policy, path: string, texts: Texts, threads?: number): Promise<OpenExport>
}

/** Whoever opened it closes it. */
export type OpenExport = ReadBack & { close(): void | Promise<void> }

export type ExportOptions = {
  /** The folder or file to make. */
  path: string
  /** Token sequences that the policy was not trained on. */
  texts: Texts
  threads?: number
  onProgress?: (doing: 'scoring' | 'writing' | 'verifying') => void
}

/** @throws UserError where a policy cannot be exported to a path, for whoever has work to do before */
export async function checkExport(policy: Policy, exporter: Exporter, path: string): Promise<void> {
  refuseTaken(path)
  await exporter.check(policy, path)
}

/**
 * Exports a policy. What is made has its name only after it was read back: its tensors are the policy's, and so are its
 * log-probabilities of the texts. Where they are not nothing is left behind.
 * @throws UserError where the form is not possible or the path is taken, before any work; (exit code 1) for a mismatch
 */
export async function exportPolicy(policy: Policy, exporter: Exporter, options: ExportOptions): Promise<Verification> {
  const { path, texts, threads, onProgress = () => {} } = options
  await checkExport(policy, exporter, path)
  return placed(path, async (aside) => {
    onProgress('scoring')
    const heldOut = { texts, logProbabilities: await scoreTexts(policy, texts, threads) }
    onProgress('writing')
    exporter.write(policy, aside)
    onProgress('verifying')
    const made = await exporter.open(policy, aside, texts, threads)
    try {
      return await verify(policy, heldOut, made)
    } finally {
      await made.close()
    }
  })
}
