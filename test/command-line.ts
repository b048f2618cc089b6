/** Carries out command lines in this process, and keeps what they print. */
import { Writable } from 'node:stream'
import { run } from '../src/cli/commands.ts'

class Captured extends Writable {
  text = ''
  isTTY = false
  columns = 100
  override _write(chunk: Buffer, _: string, done: () => void) {
    this.text += chunk
    done()
  }
}

export async function flowtune(words: readonly string[], isTTY = false) {
  const [stdout, stderr] = [new Captured(), new Captured()]
  stderr.isTTY = isTTY
  const code = await run(words, { stdout, stderr })
  return { code, out: stdout.text, err: stderr.text }
}
