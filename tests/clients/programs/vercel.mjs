// The Vercel AI SDK over three wire formats; addresses and keys come from the environment.
import { anthropic } from '@ai-sdk/anthropic'
import { openai } from '@ai-sdk/openai'
import { embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { main, weather } from './reporting.mjs'

const makers = { messages: anthropic, chat: openai.chat, responses: openai.responses }
const prompt = 'Hello there'

function toolNamed(name) {
  return { [name]: tool({ description: 'Does it.', inputSchema: jsonSchema(weather), execute: async () => 'sunny' }) }
}

async function generated(model, more = {}) {
  const { text, reasoningText, finishReason, usage, steps } = await generateText({ model, prompt, maxRetries: 0, ...more })
  const calls = steps.map((step) => [step.finishReason, ...step.toolCalls.map((call) => call.toolName)])
  return { final: { text, reasoningText, finishReason, usage, calls } }
}

async function streamed(model, more = {}) {
  const events = []
  let problem
  const result = streamText({ model, prompt, maxRetries: 0, onError: () => {}, ...more })
  for await (const part of result.fullStream) {
    events.push(part.type)
    if (part.type === 'error') problem ??= part.error
  }
  if (problem) throw problem instanceof Error ? problem : new Error(JSON.stringify(problem))
  const steps = (await result.steps).map((step) => [step.finishReason, ...step.toolCalls.map((call) => call.toolName)])
  const final = { text: await result.text, reasoningText: await result.reasoningText, usage: await result.usage, steps }
  return { events, final: { ...final, finishReason: await result.finishReason } }
}

async function denied(run, model) {
  const { final } = await run(model, { tools: toolNamed('delete_files'), stopWhen: stepCountIs(3) })
  return { final: [final, final] }
}

const scenarios = {}
for (const [format, make] of Object.entries(makers)) {
  const add = (name, run) => (scenarios[`${format} ${name}`] = run)
  const agent = { tools: toolNamed('get_weather'), stopWhen: stepCountIs(3) }
  add('text', () => generated(make('text-8')))
  add('streamed text', () => streamed(make('text-8')))
  add('unicode', () => streamed(make('unicode')))
  add('tools', () => generated(make('tools'), agent))
  add('streamed tools', () => streamed(make('tools'), agent))
  add('parallel tools', () => streamed(make('parallel-tools-3'), agent))
  add('denied tools', () => denied(generated, make('tools')))
  add('streamed denied tools', () => denied(streamed, make('tools')))
  add('error 400', () => generated(make('error-400')))
  add('error 503', () => streamed(make('error-503')))
  add('error in the stream', () => streamed(make('error-frame-5')))
  add('retry after 503', () => generated(make('flaky-503'), { maxRetries: 2 }))
  add('cut stream', () => streamed(make('break-5')))
  add('silence', () => streamed(make('silent-12')))
}
scenarios['messages thinking'] = () => streamed(anthropic('thinking-8'))
scenarios['responses thinking'] = () => streamed(openai.responses('thinking-8'))
scenarios['embeddings'] = async () => {
  const { embeddings } = await embedMany({ model: openai.embedding('text-embedding-3-small'), values: ['Hello', 'there'] })
  return { final: embeddings }
}
await main(scenarios)
