import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { float32, type HostTensor, int64 } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime } from '../runtime/session.ts'
import { gradients } from '../tensor/gradient.ts'
import { constant, gather, sub, sumAll } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { chosenLogits, constrainedLogNormaliser, type Head, logitOf, logits, logNormaliser } from './head.ts'

const [STATES, VOCABULARY, WIDTH] = [3, 5, 4]
const numbers = (count: number, seed: number) => Array.from({ length: count }, (_, i) => Math.sin(seed + 7.7 * i))
const hidden = numbers(STATES * WIDTH, 1)
const weight = numbers(VOCABULARY * WIDTH, 2)
const bias = numbers(VOCABULARY, 3).map((value) => 2 * value)

/** Logits [states][vocabulary] from the definition. */
const plainLogits = (withBias: boolean) =>
  Array.from({ length: STATES }, (_, s) =>
    Array.from({ length: VOCABULARY }, (_, v) =>
      Array.from({ length: WIDTH }, (_, k) => hidden[s * WIDTH + k] * weight[v * WIDTH + k]).reduce(
        (a, b) => a + b,
        withBias ? bias[v] : 0,
      ),
    ),
  )
const logSumExp = (values: readonly number[]) => Math.log(values.reduce((sum, value) => sum + Math.exp(value), 0))

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

const inputs: Record<string, HostTensor> = {
  hidden: float32([STATES, WIDTH], hidden),
  weight: float32([VOCABULARY, WIDTH], weight),
  bias: float32([VOCABULARY], bias),
}

async function compute(withBias: boolean, build: (hidden: Tensor, head: Head) => Record<string, Tensor>) {
  const program = buildProgram('head', inputs, ({ hidden, weight: matrix, bias }) => {
    const weight = { storage: 'float32', shape: [VOCABULARY, WIDTH], parts: [matrix] } as const
    return build(hidden, withBias ? { weight, bias } : { weight })
  })
  const session = await runtime.open(program)
  const used = Object.fromEntries(Object.keys(program.inputs).map((name) => [name, inputs[name]]))
  const { outputs } = await session.run(used)
  return (name: string) => Array.from(outputs[name].data, Number)
}

function close(actual: readonly number[], wanted: readonly number[]) {
  expect(actual).toHaveLength(wanted.length)
  for (const [i, value] of wanted.entries()) expect(actual[i]).toBeCloseTo(value, 5)
}

const tokenLogProbabilities = (hidden: Tensor, head: Head) =>
  sub(chosenLogits(hidden, head, from, tokens), gather(logNormaliser(hidden, head), from))

const from = constant(int64([4], [0, 2, 2, 1]))
const tokens = constant(int64([4], [4, 0, 3, 3]))
const pairs = [
  [0, 4],
  [2, 0],
  [2, 3],
  [1, 3],
]

describe.each([
  ['without a bias', false],
  ['with a bias', true],
])('a head %s', (_, withBias) => {
  const expected = plainLogits(withBias)

  test('gives every logit, that of one token and those of chosen pairs', async () => {
    const output = await compute(withBias, (hidden, head) => ({
      all: logits(hidden, head),
      third: logitOf(constant(int64([1], [3])), hidden, head),
      chosen: chosenLogits(hidden, head, from, tokens),
    }))
    close(output('all'), expected.flat())
    close(
      output('third'),
      expected.map((row) => row[3]),
    )
    close(
      output('chosen'),
      pairs.map(([state, token]) => expected[state][token]),
    )
  })

  test('gives log-probabilities over all tokens, and normalisers over those that are allowed', async () => {
    const stop = 1
    const mask = [0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, 0]
    const output = await compute(withBias, (hidden, head) => ({
      log: tokenLogProbabilities(hidden, head),
      normaliser: constrainedLogNormaliser(hidden, head, {
        bias: constant(float32([VOCABULARY], mask)),
        logitOfStop: logitOf(constant(int64([1], [stop])), hidden, head),
        terminable: constant({ dtype: 'bool', shape: [STATES, 1], data: Uint8Array.from([1, 0, 1]) }),
      }),
    }))
    close(
      output('log'),
      pairs.map(([state, token]) => expected[state][token] - logSumExp(expected[state])),
    )
    close(
      output('normaliser'),
      expected.map((row, state) => logSumExp([row[0], row[2], row[4], ...(state === 1 ? [] : [row[stop]])])),
    )
  })
})

test("the bias takes part in the gradient: its own is the tokens' counts less their probabilities", async () => {
  const output = await compute(true, (hidden, { weight, bias }) => {
    const head = { weight, bias, trained: true }
    const total = sumAll(tokenLogProbabilities(hidden, head))
    const [ofHidden, ofBias] = gradients(total, [hidden, head.bias!])
    return { ofHidden, ofBias }
  })
  const probabilities = plainLogits(true).map((row) => row.map((value) => Math.exp(value - logSumExp(row))))
  /** How much a logit [states][vocabulary] adds to the total. */
  const slopes = probabilities.map((row, state) => {
    const asked = pairs.filter(([at]) => at === state)
    return row.map((p, token) => asked.filter(([, chosen]) => chosen === token).length - asked.length * p)
  })
  close(
    output('ofBias'),
    Array.from({ length: VOCABULARY }, (_, v) => slopes.reduce((sum, row) => sum + row[v], 0)),
  )
  close(
    output('ofHidden'),
    slopes.flatMap((row) =>
      Array.from({ length: WIDTH }, (_, k) => row.reduce((sum, slope, v) => sum + slope * weight[v * WIDTH + k], 0)),
    ),
  )
})
