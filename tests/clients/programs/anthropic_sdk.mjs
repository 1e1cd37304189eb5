// The Anthropic SDK for JavaScript; its address and key come from the environment.
import Anthropic from '@anthropic-ai/sdk'
import { bytesOf, main, weather } from './reporting.mjs'

const client = new Anthropic({ maxRetries: 0, timeout: 100_000 })
const patient = new Anthropic({ timeout: 100_000 })
const hello = [{ role: 'user', content: 'Hello there' }]
const asked = (model, more = {}) => ({ model, max_tokens: 1000, messages: hello, ...more })
const whole = async (model, more) => await client.messages.create(asked(model, more))

async function streamed(model, more) {
  const events = []
  const stream = client.messages.stream(asked(model, more))
  for await (const event of stream) events.push(event.type)
  return { events, final: await stream.finalMessage() }
}

async function twoTurns(model, name, ask) {
  const tools = [{ name, description: 'Does it.', input_schema: weather }]
  const first = await ask(model, { tools })
  const content = first.content.map(({ parsed_output, caller, ...block }) => block)
  const results = content
    .filter((block) => block.type === 'tool_use')
    .map((block) => ({ type: 'tool_result', tool_use_id: block.id, content: 'sunny' }))
  const next = { role: 'user', content: results.length ? results : 'And now?' }
  return { final: [first, await ask(model, { tools, messages: [...hello, { role: 'assistant', content }, next] })] }
}

const streamedFinal = async (model, more) => (await streamed(model, more)).final
const recovered = async (model) => ({ final: await patient.messages.create(asked(model)) })

await main({
  'text': async () => ({ final: await whole('text-8') }),
  'streamed text': () => streamed('text-8'),
  'unicode': () => streamed('unicode'),
  'thinking': () => streamed('thinking-8'),
  'thinking, then a turn': () => twoTurns('thinking-8', 'get_weather', streamedFinal),
  'tools': () => twoTurns('tools', 'get_weather', whole),
  'streamed tools': () => twoTurns('tools', 'get_weather', streamedFinal),
  'parallel tools': () => twoTurns('parallel-tools-3', 'get_weather', streamedFinal),
  'denied tools': () => twoTurns('tools', 'delete_files', whole),
  'streamed denied tools': () => twoTurns('tools', 'delete_files', streamedFinal),
  'error 400': () => whole('error-400'),
  'error 401': () => whole('error-401'),
  'error 429': () => whole('error-429'),
  'error 503': () => whole('error-503'),
  'error 529': () => streamed('error-529'),
  'error in the stream': () => streamed('error-frame-5'),
  'retry after 529': () => recovered('flaky-529'),
  'retry after 503': () => recovered('flaky-503'),
  'retry after 429': () => recovered('flaky-429'),
  'cut stream': () => streamed('break-5'),
  'silence': () => streamed('silent-12'),
  'count tokens': () => client.messages.countTokens({ model: 'text-5', messages: hello }),
  'models': async () => {
    const listed = []
    for await (const model of client.models.list({ limit: 1000 })) listed.push(model.id)
    return { listed: listed.filter((id) => !id.startsWith('demo/')) }
  },
  'bytes': async () => bytesOf(await client.messages.create(asked('text-20', { stream: true })).asResponse()),
  'bytes of unicode': async () =>
    bytesOf(await client.messages.create(asked('unicode+bytes', { stream: true })).asResponse()),
})
