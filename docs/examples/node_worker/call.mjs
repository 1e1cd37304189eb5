// One call in this stage: what is accepted goes through the policy, what comes out is numbered and chained. A pure
// function of the call's log, so that a worker that takes over comes to the same lane. Nothing here knows the bus.

import { crc32 } from "./crc32.mjs";
import { encode } from "./msgpack.mjs";
import { NAME, TitleCase, VERSION } from "./title_case.mjs";

const ENVELOPE = new Set(["call", "n", "time", "prev", "cause", "trace"]);
const TERMINAL = new Set(["response.completed", "response.failed", "response.aborted"]);

/** The digest of a lane after one more event. */
export function chain(digest, event) {
  if (event.get("type") === "chunk.released") return crc32(event.get("frame"), digest);
  const said = [...event].filter(([name]) => !ENVELOPE.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  return crc32(encode(said), digest);
}

/** How far a call was when its last owner settled: the next ordinal to release, and the digest there. */
export const NOTHING = { released: 0, digest: 0 };

export class Call {
  /** `first` is the entry that opened it; `floor` what an earlier owner has released. */
  constructor(id, stage, first, floor = NOTHING) {
    this.id = id;
    this.stage = stage;
    this.first = first;
    this.floor = floor;
    this.n = 0;
    this.digest = 0;
    this.outputs = [];
    this.seen = 0;
    this.told = 0;
    this.over = false;
    this.edge = "";
    this.deadline = 0;
    this.next = null;
    this.abort = null;
    this.dirty = false;
    this.source = "";
    this.inputDigest = 0;
    this.inputOver = false;
    this.place = 0;
    this.passes = false;
    this.policy = null;
    this.phases = [];
  }

  /** The next ordinal to release, and the digest there: what the settlement keeps. */
  get released() {
    return this.n > this.floor.released ? { released: this.n, digest: this.digest } : this.floor;
  }

  /** Take an event of the log from the producer `src`; what is no news is dropped. */
  take(src, event, now) {
    if (this.over) return;
    const n = event.get("n") ?? -1;
    if (n < 0) {
      if (event.get("type") === "response.aborted") this.abort ??= event.get("reason");
      return;
    }
    this.source ||= src;
    if (src !== this.source || n !== this.seen || this.inputOver) return;
    if (src.startsWith("stage:")) {
      if ((event.get("prev") ?? -1) !== this.inputDigest) return this.end("digest", "The stage before released two runs", now);
      this.inputDigest = chain(this.inputDigest, event);
    }
    this.seen = n + 1;
    this.dirty = true;
    this.inputOver = TERMINAL.has(event.get("type"));
    this.#run(event, now);
  }

  /** End the call now, with what was released so far. */
  end(error, message, now) {
    if (this.over) return;
    if (this.n < this.floor.released) {
      this.n = this.floor.released;
      this.digest = this.floor.digest;
    }
    this.#put({ type: "response.failed", lane: "final", error, message }, now);
  }

  /** Called at the end of the log of an earlier owner: a run that ended before what was released is another run. */
  endIfShort(now) {
    if (!this.over || this.n >= this.floor.released) return;
    this.over = false;
    this.end("nondeterminism", "The call, run again, ended before what was released of it", now);
  }

  #run(event, now) {
    const kind = event.get("type");
    try {
      if (kind === "request.received") this.#open(event, now);
      else if (kind === "response.started") {
        this.passes = event.get("status") >= 400;
        this.#pass(event, now);
      } else if (kind === "chunk.received" || kind === "chunk.released") this.#chunk(event, now);
      else if (TERMINAL.has(kind)) this.#finish(event, now);
      else this.#pass(event, now);
    } catch (error) {
      this.#put({ type: "policy.failed", policy: NAME, error: error.name, message: error.message }, now);
      this.end("policy_failed", `The policy ${NAME} failed: ${error.message}`, now);
    }
  }

  #open(event, now) {
    const hops = event.get("slip").get("hops") ?? [];
    this.place = hops.findIndex((hop) => hop.get("stage") === this.stage);
    this.phases = hops[this.place]?.get("phases") ?? ["request", "response"];
    this.next = hops[this.place + 1] ?? null;
    this.edge = event.get("edge");
    this.deadline = event.get("deadline") ?? 0;
    this.policy = new TitleCase(event.get("format"));
    if (this.next) this.#pass(event, now);
    // This policy leaves requests alone; a later stage passes on what the one before made of it.
    if (this.place <= 0) this.#released({ type: "request.released", ...(event.get("model") ? { model: event.get("model") } : {}) }, now);
  }

  #released(fields, now) {
    this.#put(fields, now);
    if (!this.phases.includes("response")) this.over = true;
  }

  #chunk(event, now) {
    const raw = event.get("frame");
    const kind = event.get("kind") ?? "frame";
    const original = event.get("type") === "chunk.received" ? event.get("n") : event.get("of") ?? -1;
    const frame = this.passes || kind === "rest" ? raw : this.policy.frame(raw, kind);
    const fields = { type: "chunk.released", frame };
    if (kind !== "frame") fields.kind = kind;
    if (frame === raw && original >= 0) fields.of = original;
    this.#put(fields, now);
  }

  #finish(event, now) {
    const fields = copied(event);
    fields.set("lane", "final");
    fields.delete("delivered");
    const ran = this.passes ? [] : [new Map([["name", NAME], ["version", VERSION]])];
    const policies = [...(event.get("policies") ?? []), ...ran];
    if (policies.length) fields.set("policies", policies);
    this.#put(fields, now);
  }

  #pass(event, now) {
    const fields = copied(event);
    if (fields.get("type") === "request.released") this.#released(fields, now);
    else this.#put(fields, now);
  }

  /** Number, chain and keep an output, unless an earlier owner has released it. */
  #put(fields, now) {
    if (this.over) return;
    const { released, digest } = this.floor;
    if (this.n === released && this.digest !== digest) {
      this.digest = digest;
      fields = { type: "response.failed", lane: "final", error: "nondeterminism", message: "The call, run again, gave something else" };
    }
    const event = fields instanceof Map ? fields : new Map(Object.entries(fields));
    const before = this.digest;
    this.digest = chain(before, event);
    event.set("call", this.id).set("n", this.n).set("time", now).set("prev", before);
    if (this.n >= released) this.outputs.push(event);
    this.n++;
    this.dirty = true;
    this.over ||= TERMINAL.has(event.get("type"));
  }
}

/** What an event says, without its envelope: it is numbered anew as an output. */
function copied(event) {
  return new Map([...event].filter(([name]) => !ENVELOPE.has(name)));
}
