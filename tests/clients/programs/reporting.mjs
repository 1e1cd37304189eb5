// What every program here does: run scenarios by name and print what the client reported, one JSON object a line.
import { createHash } from 'node:crypto'

const ownHeaders = [
  'x-luthien-call-id', 'x-accel-buffering', 'date', 'server', 'transfer-encoding', 'content-length', 'connection', 'keep-alive',
]
export const weather = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

export async function main(scenarios) {
  for (const scenario of process.argv.slice(2)) {
    let report
    try {
      report = await scenarios[scenario]()
    } catch (error) {
      report = failure(error)
    }
    console.log(JSON.stringify({ scenario, report }))
  }
}

function failure(error) {
  const cause = error.lastError ?? error
  return {
    raised: error.constructor.name,
    message: String(error.message),
    status: cause.status ?? cause.statusCode ?? null,
    code: cause.code ?? null,
    body: cause.error ?? cause.responseBody ?? null,
    request: cause.requestID ?? null,
    headers: cause.headers?.entries ? headers(cause.headers) : null,
  }
}

export function headers(found) {
  return Object.fromEntries([...found.entries()].filter(([name]) => !ownHeaders.includes(name)))
}

export async function bytesOf(response) {
  const raw = Buffer.from(await response.arrayBuffer())
  const sha256 = createHash('sha256').update(raw).digest('hex')
  return { status: response.status, headers: headers(response.headers), size: raw.length, sha256 }
}
