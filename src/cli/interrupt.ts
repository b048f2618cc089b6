/** @file Ctrl-C: the first one asks a job to come to an end, the second one ends the process as it would without us. */

/** Does a job that a signal asks to come to an end. */
export async function interruptible<Result>(
  onAsked: () => void,
  job: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController()
  const stopListening = () => SIGNALS.forEach((name) => void process.off(name, ask))
  const ask = () => {
    stopListening()
    onAsked()
    controller.abort()
  }
  for (const name of SIGNALS) process.on(name, ask)
  try {
    return await job(controller.signal)
  } finally {
    stopListening()
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
