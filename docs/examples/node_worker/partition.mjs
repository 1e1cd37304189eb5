// A partition that this worker owns: rebuild from the log, then turns. One connection, which blocks in its reads.

import * as bus from "./bus.mjs";
import { Calls, compare } from "./calls.mjs";
import { Connection, Lost, Refused } from "./resp.mjs";

const PAGE = 64;
const BLOCK_MS = 1000;
const READ_DEADLINE_MS = 3000;
const LOOK_EVERY_MS = 1000;
const TIDY_EVERY_MS = 5000;
const OLD_MS = 30_000;

/** Another worker has the partition, or the server has forgotten what we wrote: nothing of it counts any more. */
export class Forgotten extends Error {}

/** Microseconds since 1970. */
const now = () => Date.now() * 1000;

export class Partition {
  #url;
  #scripts;
  #acquired;
  #calls;
  #connection = null;
  #position;
  #turn = 0;
  #unconfirmed = null;
  #looked = Date.now();
  #tidied = Date.now();
  #stopping = false;
  #forgotten = false;

  /** `acquired` is what the acquisition gave; `control` is a connection that nobody blocks. */
  constructor({ url, scripts, stage, name, acquired, control }) {
    this.name = name;
    this.#url = url;
    this.#scripts = scripts;
    this.#acquired = acquired;
    this.#calls = new Calls(stage, acquired);
    this.#position = acquired.cursor;
    this.control = control;
  }

  get owner() {
    return this.#acquired.owner;
  }

  /** Own it until `stop` or `forget`. Throws `Forgotten`. */
  async run() {
    try {
      await this.#again(() => this.#rebuild());
      while (!this.#stopping) await this.#again(() => this.#oneTurn());
      await this.#again(() => this.#settle());
      await bus.release(this.control(), this.#scripts, this.name, this.owner);
    } finally {
      this.#connection?.close();
    }
  }

  /** Finish the turn in hand and give the partition back. */
  stop() {
    this.#stopping = true;
  }

  /** The lease is gone: write nothing more. */
  forget() {
    this.#forgotten = true;
    this.#connection?.close(new Forgotten("the lease was lost"));
  }

  /** Do it; where the connection was lost do it again, as long as nobody else can have the lease. */
  async #again(work) {
    const end = Date.now() + bus.LEASE_MS;
    for (;;) {
      try {
        if (this.#forgotten) throw new Forgotten("the lease was lost");
        if (!this.#connection || this.#connection.closed) this.#connection = await Connection.open(this.#url);
        return await work();
      } catch (error) {
        if (error instanceof Refused) throw new Forgotten(error.message); // a full server, say: acquire it anew
        if (!(error instanceof Lost)) throw error;
        if (Date.now() > end) throw new Forgotten(error.message);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Run again all that is open: the spill lists, then the stream up to where it ended at the acquisition. */
  async #rebuild() {
    const { cursor, tail, open, spills } = this.#acquired;
    this.#calls = new Calls(this.#calls.stage, this.#acquired);
    for (const [call, kept] of spills) this.#calls.takeSpilled(call, kept, now());
    const firsts = [...open.values()].map(({ first }) => first).sort(compare);
    let from = firsts.length && compare(firsts[0], cursor) <= 0 ? firsts[0] : `(${cursor}`;
    this.#position = cursor;
    for (;;) {
      const entries = await this.#range(from);
      for (const [id, raw] of entries) this.#calls.take(id, raw, now(), compare(id, cursor) <= 0);
      const last = entries.at(-1)?.[0];
      if (last && compare(last, this.#position) > 0) this.#position = last;
      if (!last || compare(last, tail) >= 0) break;
      from = `(${last}`;
    }
    this.#calls.rebuilt(now());
  }

  async #range(from) {
    const command = ["XRANGE", bus.streamOf(this.name), from, "+", "COUNT", PAGE];
    return bus.entriesOf(await this.#connection.send(command));
  }

  /** One write: what the last read came to, and the next read. */
  async #oneTurn() {
    const settled = this.#settle();
    const read = this.#connection.send(
      ["XREAD", "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", bus.streamOf(this.name), this.#position],
      READ_DEADLINE_MS,
    );
    const [, reply] = await Promise.all([settled, read]);
    for (const [id, raw] of bus.entriesOf(reply?.[0]?.[1])) {
      this.#calls.take(id, raw, now());
      this.#position = id;
    }
    await this.#look();
    await this.#tidy();
  }

  /** Write the turn; one without an answer is written again, with the same number. */
  async #settle() {
    if (!this.#unconfirmed) {
      const settlement = this.#calls.settlement(now(), Date.now() - this.#looked >= LOOK_EVERY_MS);
      if (!settlement) return;
      const { owner } = this;
      this.#turn += 1;
      const whole = { ...settlement, owner, turn: this.#turn, cursor: this.#position };
      this.#unconfirmed = bus.settle(this.#scripts, this.name, whole);
    }
    const answer = String(await this.#connection.send(this.#unconfirmed));
    if (!/^(OK|DUP)/.test(answer)) throw new Forgotten(`the settlement was answered ${answer}`);
    this.#unconfirmed = null;
  }

  /** End calls whose time or edge is gone, once a second. */
  async #look() {
    for (const call of this.#calls.open) {
      if (call.abort !== null) this.#calls.end(call, call.abort, "The edge has ended the call", now());
    }
    if (Date.now() - this.#looked < LOOK_EVERY_MS) return;
    this.#looked = Date.now();
    const edges = new Set(this.#calls.open.map((call) => call.edge));
    const young = edges.size > 0 && (await bus.uptimeMs(this.control())) < bus.EDGE_BEAT_MS;
    const gone = new Set();
    for (const edge of edges) if (!young && !(await bus.edgeLives(this.control(), edge))) gone.add(edge);
    for (const call of this.#calls.open) {
      if (gone.has(call.edge)) this.#calls.end(call, "edge_gone", "The edge of this call is gone", now());
      else if (call.deadline && now() > call.deadline) this.#calls.end(call, "deadline", "The call took too long", now());
    }
  }

  /** Keep old calls aside and trim the stream below what is still needed. */
  async #tidy() {
    if (Date.now() - this.#tidied < TIDY_EVERY_MS || this.#unconfirmed) return;
    this.#tidied = Date.now();
    for (const call of this.#calls.open) {
      if (Date.now() - Number(call.first.split("-")[0]) > OLD_MS && !call.dirty) await this.#spill(call);
    }
    await this.#connection.send(bus.trim(this.#scripts, this.name, this.owner));
  }

  async #spill(call) {
    const entries = (await this.#range(call.first)).filter(([id]) => compare(id, this.#position) <= 0);
    if (!entries.length) return;
    const kept = entries.flatMap(([id, raw]) => {
      const { src, events } = bus.unpacked(raw);
      const own = events.filter((event) => event.get("call") === call.id);
      return own.length ? [[id, bus.packed(src, own)]] : [];
    });
    const [ms, number] = entries.at(-1)[0].split("-");
    const first = `${ms}-${Number(number) + 1}`;
    await this.#connection.send(bus.spill(this.#scripts, this.name, this.owner, call.id, first, kept));
    call.first = first;
  }
}
