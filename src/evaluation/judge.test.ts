import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judgeCoherence } from './judge.ts'

type Asked = { url?: string; authorization?: string; model: string; temperature: number; content: string }

let server: Server
let address: string
const asked: Asked[] = []

/** A judge on this machine: it answers with what stands in the story after "say". */
beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const { model, temperature, messages } = JSON.parse(text)
    const { content } = messages[0]
    asked.push({ url: request.url, authorization: request.headers.authorization, model, temperature, content })
    const say = /say "(.*)"/.exec(content)?.[1] ?? ''
    if (say === 'refuse') return response.writeHead(401).end()
    if (say === 'nothing') return
    response.end(say === 'odd' ? '{"odd": 1}' : JSON.stringify({ choices: [{ message: { content: say } }] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const judge = (...answers: string[]) =>
  judgeCoherence(
    { address, model: 'judge', key: 'secret', timeoutSeconds: 0.5 },
    answers.map((answer) => `Tom had a dog, say "${answer}"`),
  )

test('each text is asked about, and the first digit that stands alone is its score', async () => {
  expect(await judge('4', 'Score: 3/5.', '5.', 'In 2026 I would say 2', '7', 'coherent', '4.5')).toEqual([
    4,
    3,
    5,
    2,
    undefined,
    undefined,
    undefined,
  ])
  expect(asked[0]).toMatchObject({
    url: '/v1/chat/completions',
    authorization: 'Bearer secret',
    model: 'judge',
    temperature: 0,
  })
  expect(asked[1].content).toMatch(/from 1 .* to 5 .*\n\nStory: Tom had a dog, say "Score: 3\/5."$/s)
})

test('a judge that refuses, hangs, answers otherwise or is not there is told in one line', async () => {
  await expect(judge('refuse')).rejects.toThrow('/v1/chat/completions: the judge refuses: 401 Unauthorized; check')
  await expect(judge('nothing')).rejects.toThrow('did not answer within 0.5 s')
  await expect(judge('odd')).rejects.toThrow('answers in another form')
  const nowhere = { address: 'http://127.0.0.1:1/v1', model: 'judge' }
  await expect(judgeCoherence(nowhere, ['x'])).rejects.toThrow('the judge cannot be reached')
})
