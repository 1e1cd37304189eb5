// The open calls of a partition: entries of its stream go in, and what they come to is written down as a settlement.
// Like `call.mjs` it knows no socket and no clock: times are given.

import { inboxOf, packed, streamOf, unpacked } from "./bus.mjs";
import { Call } from "./call.mjs";

const PUBLISH_DEADLINE_MS = 30_000;
const CLOSED_KEPT = 10_000;
const PACK_EVENTS = 64;
const CREDIT_EVERY = 16;
const CREDIT_SILENT = 64;

/** -1, 0 or 1, as stream ids are ordered. */
export function compare(a, b) {
  const [left, right] = [a, b].map((id) => id.split("-").map(Number));
  return Math.sign(left[0] - right[0] || left[1] - right[1]);
}

export class Calls {
  stage;
  #open = new Map();
  #closed;
  #ended = [];

  /** `acquired` is what the acquisition gave: open calls, and those closed of late. */
  constructor(stage, acquired) {
    this.stage = stage;
    this.#closed = acquired.closed;
    for (const [id, { first, released, digest, edge, deadline }] of acquired.open) {
      const call = new Call(id, stage, first, { released, digest });
      this.#open.set(id, Object.assign(call, { edge, deadline }));
    }
  }

  get open() {
    return [...this.#open.values()];
  }

  /** Take an entry of the stream; with `only`, events of calls that are open and of no others. */
  take(id, raw, now, only = false) {
    const { src, events } = unpacked(raw);
    for (const event of events) {
      const call = this.#open.get(event.get("call")) ?? (only ? undefined : this.#opened(id, event));
      call?.take(src, event, now);
    }
  }

  /** Take what the spill list of a call has. */
  takeSpilled(callId, kept, now) {
    for (const [, raw] of kept) {
      const { src, events } = unpacked(raw);
      for (const event of events) if (event.get("call") === callId) this.#open.get(callId)?.take(src, event, now);
    }
  }

  /** The log of an earlier owner has been read. */
  rebuilt(now) {
    for (const call of this.open) call.endIfShort(now);
  }

  /** End a call before its time; that it was is recorded with what it leads to. */
  end(call, reason, message, now) {
    if (call.over) return;
    this.#ended.push(
      new Map(
        Object.entries({
          type: "effect.recorded",
          call: call.id,
          time: now,
          key: "cut",
          kind: "cut",
          value: { at: call.released.released, reason, message },
          stage: this.stage,
        }),
      ),
    );
    call.end(reason, message, now);
  }

  /** What is to be settled now, null if nothing is. `late` says that a second has gone by in silence. */
  settlement(now, late = false) {
    const outputs = new Map();
    const open = new Map();
    const closed = [];
    const put = (stream, events) => outputs.set(stream, [...(outputs.get(stream) ?? []), ...events]);
    for (const call of this.open) {
      if (call.outputs.length) put(call.next ? nextStream(call.next) : inboxOf(call.edge), call.outputs);
      if (credit(call, late)) {
        put(inboxOf(call.edge), [seen(call, now)]);
        call.told = call.seen;
      }
      if (call.over) {
        closed.push(call.id);
        this.#forget(call.id);
      } else if (call.dirty) {
        const { id, first, edge, deadline, released } = call;
        open.set(id, { first, edge, deadline, ...released });
      }
      call.outputs = [];
      call.dirty = false;
    }
    const effects = this.#ended.splice(0);
    if (!outputs.size && !open.size && !closed.length && !effects.length) return null;
    const src = `stage:${this.stage}`;
    const packs = [...outputs].flatMap(([stream, events]) => cut(events).map((some) => [stream, packed(src, some)]));
    return { outputs: packs, open, closed, effects: effects.length ? packed(src, effects) : "" };
  }

  #opened(id, event) {
    const callId = event.get("call");
    if (event.get("type") !== "request.received" || event.get("n") !== 0 || this.#closed.has(callId)) return undefined;
    const made = madeMs(callId);
    if (made !== null && Number(id.split("-")[0]) - made > PUBLISH_DEADLINE_MS) return undefined;
    const call = new Call(callId, this.stage, id);
    this.#open.set(callId, call);
    return call;
  }

  #forget(id) {
    this.#open.delete(id);
    this.#closed.add(id);
    if (this.#closed.size > CLOSED_KEPT) this.#closed.delete(this.#closed.values().next().value);
  }
}

/** Whether the edge is to be told how far the first stage has read. */
function credit(call, late) {
  const unsaid = call.place <= 0 && !call.over ? call.seen - call.told : 0;
  return unsaid >= CREDIT_SILENT || (unsaid >= CREDIT_EVERY && call.outputs.length > 0) || (unsaid > 0 && late);
}

function seen(call, now) {
  return new Map(Object.entries({ type: "chunk.seen", call: call.id, time: now, upto: call.seen }));
}

function nextStream(hop) {
  return streamOf(`${hop.get("stage")}:${hop.get("partition")}`);
}

function cut(events) {
  return Array.from({ length: Math.ceil(events.length / PACK_EVENTS) }, (_, i) =>
    events.slice(i * PACK_EVENTS, (i + 1) * PACK_EVENTS),
  );
}

/** When a call id was made, null if it is no UUIDv7. */
function madeMs(id) {
  const digits = id.replaceAll("-", "");
  return digits.length === 32 && digits[12] === "7" ? parseInt(digits.slice(0, 12), 16) : null;
}
