// The OpenAI SDK for JavaScript; its address and key come from the environment.
import OpenAI from 'openai'
import { bytesOf, main, weather } from './reporting.mjs'

const client = new OpenAI({ maxRetries: 0, timeout: 100_000 })
const patient = new OpenAI({ timeout: 100_000 })
const hello = [{ role: 'user', content: 'Hello there' }]
const asked = (model, more = {}) => ({ model, messages: hello, ...more })
const whole = async (model, more) => await client.chat.completions.create(asked(model, more))

async function streamed(model, more) {
  const chunks = []
  const stream = client.chat.completions.stream(asked(model, { stream_options: { include_usage: true }, ...more }))
  for await (const chunk of stream) chunks.push(chunk.choices.length)
  return { events: chunks, final: await stream.finalChatCompletion() }
}

async function twoTurns(model, name, ask) {
  const tools = [{ type: 'function', function: { name, description: 'Does it.', parameters: weather } }]
  const first = await ask(model, { tools })
  const { parsed, ...said } = first.choices[0].message
  const calls = (said.tool_calls ?? []).map(({ id, type, function: { name, arguments: given } }) => ({
    id, type, function: { name, arguments: given },
  }))
  const results = calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'sunny' }))
  const turn = { role: 'assistant', content: said.content, ...(calls.length ? { tool_calls: calls } : {}) }
  const messages = [...hello, turn, ...(results.length ? results : [{ role: 'user', content: 'And now?' }])]
  return { final: [first, await ask(model, { tools, messages })] }
}

async function responded(model, more) {
  const events = []
  const stream = client.responses.stream({ model, input: 'Hello there', store: false, ...more })
  for await (const event of stream) events.push(event.type)
  return { events, final: await stream.finalResponse() }
}

async function respondedTwice(model, name) {
  const tools = [{ type: 'function', name, description: 'Does it.', parameters: weather, strict: false }]
  const first = (await responded(model, { tools })).final
  const items = first.output.map(({ parsed_arguments, ...item }) => item)
  const results = items
    .filter((item) => item.type === 'function_call')
    .map((item) => ({ type: 'function_call_output', call_id: item.call_id, output: 'sunny' }))
  const input = [...hello, ...items, ...(results.length ? results : [{ role: 'user', content: 'And now?' }])]
  return { final: [first, (await responded(model, { tools, input })).final] }
}

async function held() {
  const first = await client.responses.create({ model: 'echo', input: 'Hello there' })
  const second = await client.responses.create({ model: 'echo', input: 'And now?', previous_response_id: first.id })
  const again = await client.responses.retrieve(second.id)
  await client.responses.delete(second.id)
  const gone = await client.responses.retrieve(second.id).then(() => false, (error) => error.status === 404)
  return { text: [first.output_text, second.output_text, again.output_text], gone }
}

const streamedFinal = async (model, more) => (await streamed(model, more)).final
const recovered = async (model) => ({ final: await patient.chat.completions.create(asked(model)) })

await main({
  'text': async () => ({ final: await whole('text-8') }),
  'streamed text': () => streamed('text-8'),
  'unicode': () => streamed('unicode'),
  'tools': () => twoTurns('tools', 'get_weather', whole),
  'streamed tools': () => twoTurns('tools', 'get_weather', streamedFinal),
  'parallel tools': () => twoTurns('parallel-tools-3', 'get_weather', streamedFinal),
  'denied tools': () => twoTurns('tools', 'delete_files', whole),
  'streamed denied tools': () => twoTurns('tools', 'delete_files', streamedFinal),
  'error 400': () => whole('error-400'),
  'error 401': () => whole('error-401'),
  'error 429': () => whole('error-429'),
  'error 503': () => streamed('error-503'),
  'error in the stream': () => streamed('error-frame-5'),
  'retry after 503': () => recovered('flaky-503'),
  'retry after 429': () => recovered('flaky-429'),
  'cut stream': () => streamed('break-5'),
  'silence': () => streamed('silent-12'),
  'models': async () => {
    const listed = []
    for await (const model of client.models.list()) listed.push(model.id)
    return { listed: listed.filter((id) => !id.startsWith('demo/')) }
  },
  'embeddings': async () => ({
    final: await client.embeddings.create({ model: 'text-embedding-3-small', input: ['Hello', 'there'] }),
  }),
  'bytes': async () => bytesOf(await client.chat.completions.create(asked('text-20', { stream: true })).asResponse()),
  'bytes of unicode': async () =>
    bytesOf(await client.chat.completions.create(asked('unicode+bytes', { stream: true })).asResponse()),
  'responses text': async () => ({
    final: await client.responses.create({ model: 'text-8', input: 'Hello there', store: false }),
  }),
  'responses streamed text': () => responded('text-8'),
  'responses thinking': () => responded('thinking-8'),
  'responses tools': () => respondedTwice('tools', 'get_weather'),
  'responses denied tools': () => respondedTwice('tools', 'delete_files'),
  'responses error 503': () => responded('error-503'),
  'responses cut stream': () => responded('break-5'),
  'responses silence': () => responded('silent-12'),
  'held responses': held,
})
