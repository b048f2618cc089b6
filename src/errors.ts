/** @file A user's mistake, told in one or two lines; everything else is a bug and keeps its stack. */

/** What was wrong, where, and what to do about it. */
export type Complaint = { what: string; where?: string; fix?: string }

/** A mistake in what the user gave: a file, a config, a prompt, a reward. Shown without a stack trace. */
export class UserError extends Error {
  /** A user's file may bring another copy of this package along, whose mistakes are mistakes, too. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'UserError' && 'complaint' in value
  }

  override readonly name = 'UserError'
  readonly complaint: Complaint
  /** Exit code of the command line: 2 for wrong use, found before any work; 1 for a failure of the run. */
  readonly exitCode: 1 | 2

  constructor(complaint: Complaint, exitCode: 1 | 2 = 2) {
    super(formatComplaint(complaint))
    this.complaint = complaint
    this.exitCode = exitCode
  }
}

/** "where: what; fix" on one line. */
export function formatComplaint({ what, where, fix }: Complaint): string {
  return `${where ? `${where}: ` : ''}${what}${fix ? `; ${fix}` : ''}`
}

/** What a user's own code threw, on one line: the message, and the place in `file` or where the stack begins. */
export function describeThrown(error: unknown, file?: string): string {
  if (!(error instanceof Error)) return String(error)
  const message = error.message.split('\n')[0].trim()
  const name = file?.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&') ?? '[^\\s/\\\\(]+'
  const place = new RegExp(`(${name}):(\\d+):\\d+`).exec(error.stack ?? '')
  const named = error.name === 'Error' ? message : `${error.name}: ${message}`
  return place ? `${named} (${place[1]}, line ${place[2]})` : named
}
