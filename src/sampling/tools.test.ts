import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromRoot } from '../../test/from-root.ts'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts'
import { calculator } from './calculator.ts'
import { isolatedTool } from './isolated-tool.ts'
import { type BoundTool, bindTool, type Tool } from './tools.ts'

const embedded = fromRoot('models/stories260K')

/** The text of tokens that are chosen one after another, with what a tool inserts after each. */
async function written(tool: BoundTool, tokens: number[], chosen: readonly number[]): Promise<number[]> {
  const all = [...tokens]
  for (const token of chosen) {
    all.push(token)
    all.push(...(await tool(all)))
  }
  return all
}

const TOKENIZERS = {
  gpt2: '../shared/data/tokenizers/gpt2',
  llama2: '../shared/data/tokenizers/llama2',
  smollm2: '../shared/data/tokenizers/smollm2',
  stories260K: 'models/stories260K',
}
const ARITHMETIC = '../shared/data/gfn-lm-tuning'
const noData = !existsSync(fromRoot(ARITHMETIC))

for (const [name, folder] of Object.entries(TOKENIZERS)) {
  const absent = !existsSync(fromRoot(folder))
  describe.skipIf(absent)(`with the tokens of ${name}${absent ? `: skipped, there is no ${folder}` : ''}`, () => {
    let tokenizer: Tokenizer
    let tool: BoundTool
    beforeAll(async () => {
      tokenizer = await loadTokenizer(fromRoot(folder))
      tool = bindTool(calculator(), tokenizer)
    })
    const write = async (...pieces: string[]) => {
      let all: number[] = []
      for (const piece of pieces) all = await written(tool, all, tokenizer.encodeContinuation(piece))
      return tokenizer.decodeContinuation(all)
    }

    test('the trigger is seen whatever token it is in, and only when it is complete', async () => {
      expect(await write(' 2 + 7 =')).toBe(' 2 + 7 = 9')
      expect(await write(' 2 + 7=')).toBe(' 2 + 7= 9')
      expect(await write('2+7=', ', ', '9 - 5 =')).toBe('2+7= 9, 9 - 5 = 4')
      expect(await write(' 2 + 7', ' ')).toBe(' 2 + 7 ')
      expect(await write(' 2 + =', ' 7 ')).toBe(' 2 + = 7 ')
      expect(await write(' 🙂, 2 + 7 =')).toBe(' 🙂, 2 + 7 = 9')
    })

    test('what it inserts is the text after a space, in tokens of its own', async () => {
      const tokens = tokenizer.encodeContinuation(' 2 - 8 =')
      expect(await tool(tokens)).toEqual(tokenizer.encodeContinuation(' -6'))
      expect(await tool(tokens.slice(0, -1))).toEqual([])
    })

    test.skipIf(noData)(
      `every expression of the arithmetic data${noData ? `: skipped, there is no ${ARITHMETIC}` : ''}`,
      async () => {
        type Problem = { str_query: string; num_sol: number; str_rationale: string; str_sol: string }
        const read = (file: string): Problem[] => JSON.parse(readFileSync(fromRoot(`${ARITHMETIC}/${file}`), 'utf8'))
        const solved = new Map(
          read('arithmetic/1digit_34_op+-_train_50.json').map((problem) => [problem.str_query, problem]),
        )
        const train = read('arithmetic_with_tool/1digit_34_op+-_train_50.json')
        expect(train).toHaveLength(50)
        for (const { str_query, str_rationale } of train) {
          // The policy writes up to each equals sign: "2 + 7 =", ", 9 - 5 ="
          const text = await write(...str_rationale.split(/(?<==)/))
          expect(text).toBe(solved.get(str_query)!.str_rationale)
        }
      },
    )
  })
}

test.skipIf(noData)(
  `chains of two operands lead to every answer of the arithmetic data${noData ? `: skipped, there is no ${ARITHMETIC}` : ''}`,
  async () => {
    const { respond } = calculator()
    const folder = fromRoot(`${ARITHMETIC}/arithmetic_with_tool`)
    const files = ['hw', 'test', 'train_50'].map((part) => `1digit_34_op+-_${part}.json`)
    let problems = 0
    for (const file of [...files, ...[3, 4, 5].map((count) => `1digit_${count}_op+-_test.json`)])
      for (const { str_query, num_sol, str_sol } of JSON.parse(readFileSync(join(folder, file), 'utf8'))) {
        const [first, ...rest] = str_query.slice('Question: '.length, str_query.indexOf(' =')).split(/(?= [+-])/)
        const chain = rest.reduce((text: string, step: string) => {
          const line = `${text}${text.endsWith(first) ? '' : `, ${text.split('= ').at(-1)}`}${step} =`
          return line + respond(line)
        }, first)
        expect(Number(chain.split('= ').at(-1))).toBe(num_sol)
        if (str_sol) expect(str_sol).toBe(`. The answer is ${chain.split('= ').at(-1)}.`)
        problems++
      }
    expect(problems).toBe(50 + 1000 + 500 + 3 * 500)
  },
)

describe('a tool', () => {
  let tokenizer: Tokenizer
  beforeAll(async () => {
    tokenizer = await loadTokenizer(embedded)
  })
  const call = (tool: Partial<Tool>, text = 'a =') =>
    bindTool({ name: 'mine', trigger: '=', respond: () => 'x', ...tool }, tokenizer)(tokenizer.encodeContinuation(text))

  test('may be called by more than one token, once, when the last of them is there', async () => {
    const tool = bindTool({ name: 'search', trigger: '</ask>', respond: (text) => ` [${text.length}]` }, tokenizer)
    const chosen = tokenizer.encodeContinuation('a</ask> b')
    expect(tokenizer.encodeContinuation('</ask>').length).toBeGreaterThan(1)
    expect(tokenizer.decodeContinuation(await written(tool, [], chosen))).toBe('a</ask> [7] b')
  })

  test('is not called again by space after its trigger, nor by what it inserted itself', async () => {
    const tool = bindTool({ name: 'echo', trigger: '=', respond: () => '=' }, tokenizer)
    const chosen = tokenizer.encodeContinuation('a= ')
    expect(tokenizer.decodeContinuation(await written(tool, [], chosen))).toBe('a== ')
  })

  test('may take its time, within its limit', async () => {
    const slow = (seconds: number) => () =>
      new Promise<string>((resolve) => setTimeout(() => resolve('y'), seconds * 1000))
    expect(await call({ respond: slow(0.01), timeLimitSeconds: 5 })).toEqual(tokenizer.encodeContinuation('y'))
    await expect(call({ respond: slow(5), timeLimitSeconds: 0.02 })).rejects.toThrow(
      'tool "mine": it gave no answer within 0.02 s for "a ="; mend it, or raise timeLimitSeconds',
    )
  })

  test.each<[string, Partial<Tool>, string]>([
    [
      'throws',
      {
        respond: () => {
          throw new Error('no network')
        },
      },
      'tool "mine": it threw "no network" for "a ="',
    ],
    ['rejects', { respond: () => Promise.reject(new Error('no network')) }, 'it threw "no network" for "a ="'],
    ['gives no text', { respond: () => 5 as unknown as string }, 'it gave number and not text for "a ="'],
  ])('that %s ends the run with one line', async (_, tool, message) => {
    await expect(call(tool)).rejects.toThrow(message)
  })

  test('without a trigger is refused', async () => {
    await expect(async () => call({ trigger: '' })).rejects.toThrow('tool "mine": its trigger is empty')
  })
})

describe('an isolated tool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tool-'))
  const tools: Tool[] = []
  afterAll(() => {
    for (const tool of tools) tool.stop?.()
    rmSync(folder, { recursive: true })
  })
  const make = (file: string, source: string, timeLimitSeconds = 30) => {
    writeFileSync(join(folder, file), source)
    const tool = isolatedTool({ name: 'mine', trigger: '=', file: join(folder, file), timeLimitSeconds })
    tools.push(tool)
    return tool
  }
  const call = async (tool: Tool, text: string) => {
    const tokenizer = await loadTokenizer(embedded)
    const answer = await bindTool(tool, tokenizer)(tokenizer.encodeContinuation(text))
    return tokenizer.decodeContinuation(answer)
  }

  test('answers from its file', async () => {
    const tool = make('count.mjs', 'export default async (text) => " " + text.length')
    expect(await Promise.all(['a =', 'ab ='].map((text) => call(tool, text)))).toEqual([' 3', ' 4'])
  })

  test('that never ends is ended, and the next call begins anew', async () => {
    const tool = make('loop.mjs', 'export default (text) => { while (text.startsWith("forever")); return " done" }', 4)
    expect(await call(tool, 'a =')).toBe(' done')
    await expect(call(tool, 'forever =')).rejects.toThrow('tool "mine": it gave no answer within 4 s for "forever ="')
    expect(await call(tool, 'b =')).toBe(' done')
  })

  test.each([
    ['throws', 'throws.mjs', 'export default () => { throw new Error("no") }', 'it threw "no" for "a ="'],
    ['has no function', 'none.mjs', 'export const respond = 1', 'no function as default export'],
    ['is not there', 'absent.mjs', '', 'absent.mjs'],
    ['ends its thread', 'exit.mjs', 'export default () => process.exit(1)', 'its thread ended'],
  ])('that %s ends the run with one line', async (_, file, source, message) => {
    const tool = make(file, source)
    if (!source) rmSync(join(folder, file))
    await expect(call(tool, 'a =')).rejects.toThrow(message)
  })
})
