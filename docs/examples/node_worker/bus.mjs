// The names of the keys, the scripts, and the commands of a worker: everything that `worker-protocol.md` says of the bus.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { decode, encode } from "./msgpack.mjs";

export const PARTITIONS = 4;
export const LEASE_MS = 5000;
export const BEAT_MS = 6000;
export const EDGE_BEAT_MS = 15000;
const CLOSED_KEPT_US = 60_000_000;
const ACTIVITY = "activity";
const DAY_MS = 86_400_000;
/** Each script with what stands before it, as the page lists them. */
const SCRIPTS = {
  acquire: ["ids", "group", "acquire"],
  renew: ["renew"],
  release: ["release"],
  settle: ["ids", "fold", "settle"],
  spill: ["ids", "spill"],
  trim: ["ids", "group", "trim"],
};
const key = (partition, name) => `ls:{${partition}}:${name}`;
export const streamOf = (partition) => key(partition, "in");
export const inboxOf = (edge) => `ls:{${edge}}:inbox`;

/** The scripts of the folder `scripts`, loaded over one connection; digests hold for all connections to that server. */
export class Scripts {
  #digests = new Map();

  static async load(connection, folder) {
    const scripts = new Scripts();
    for (const [name, files] of Object.entries(SCRIPTS)) {
      const text = files.map((file) => readFileSync(`${folder}/${file}.lua`, "utf8")).join("");
      scripts.#digests.set(name, await connection.call("SCRIPT", "LOAD", text));
    }
    return scripts;
  }

  command(name, keys, ...args) {
    return ["EVALSHA", this.#digests.get(name), keys.length, ...keys, ...args];
  }
}

/** Where the scripts lie in a checkout. */
export const SCRIPTS_HERE = fileURLToPath(new URL("../../../luthien_stream/bus/redis/scripts", import.meta.url));

/** Take a partition; null while another worker has it. */
export async function acquire(connection, scripts, partition, worker, random) {
  const keys = ["lease", "state", "open", "closed", "in"].map((name) => key(partition, name));
  const reply = await connection.send(scripts.command("acquire", keys, worker, random, LEASE_MS, key(partition, "spill:")));
  if (reply === null) return null;
  const [owner, cursor, tail, open, closed, spills] = reply;
  return {
    owner: String(owner),
    cursor: String(cursor),
    tail: String(tail),
    open: new Map(pairs(open).map(([call, value]) => [String(call), openCall(String(value))])),
    closed: new Set(pairs(closed).map(([call]) => String(call))),
    spills: new Map(spills.map(([call, kept]) => [String(call), pairs(kept)])),
  };
}

/** Make the partition's stream known, and with a record keep its entries for the recorder from the first on. */
export async function register(connection, partition, recorded) {
  const stream = streamOf(partition);
  if (recorded) {
    try {
      await connection.call("XGROUP", "CREATE", stream, ACTIVITY, "0", "MKSTREAM");
    } catch (error) {
      if (!String(error.message).startsWith("BUSYGROUP")) throw error; // it has the group already
    }
  }
  await connection.call("SADD", "ls:streams", stream);
}

export async function renew(connection, scripts, partition, owner, worker) {
  const keys = [key(partition, "lease"), key(partition, "state")];
  return (await connection.send(scripts.command("renew", keys, owner, worker, LEASE_MS))) === 1;
}

export async function release(connection, scripts, partition, owner) {
  await connection.send(scripts.command("release", [key(partition, "lease"), key(partition, "state")], owner));
}

/** The command of a turn. `outputs` lists (stream, pack); `open` maps calls to {first, released, digest, edge, deadline}. */
export function settle(scripts, partition, { owner, turn, cursor, effects, outputs, open, closed }) {
  const keys = ["in", "state", "open", "closed"].map((name) => key(partition, name));
  const opened = [...open].flatMap(([call, { first, released, digest, edge, deadline }]) => [
    call,
    [first, released, digest, edge, deadline].join("|"),
  ]);
  return scripts.command(
    "settle",
    [...keys, ...outputs.map(([stream]) => stream)],
    owner, turn, cursor, effects, key(partition, "spill:"), CLOSED_KEPT_US,
    outputs.length, ...outputs.map(([, pack]) => pack),
    open.size, ...opened,
    0, // folds of sessions: this worker has none
    closed.length, ...closed,
  ); // prettier-ignore
}

/** Copy events of an open call to its spill list, and move its first entry on. */
export function spill(scripts, partition, owner, call, first, entries) {
  const keys = [key(partition, "state"), key(partition, "open"), key(partition, `spill:${call}`)];
  return scripts.command("spill", keys, owner, call, first, DAY_MS, ...entries.flat());
}

export function trim(scripts, partition, owner) {
  const keys = ["state", "open", "in"].map((name) => key(partition, name));
  return scripts.command("trim", keys, owner, DAY_MS, ACTIVITY);
}

/** Say that this worker lives and which stages it serves. */
export async function beat(connection, worker, stage) {
  await connection.call("SET", `ls:registry:worker:${worker}`, encode({ stages: stage }), "PX", BEAT_MS);
  await connection.call("SADD", "ls:registry:worker", worker);
}

export async function unbeat(connection, worker) {
  await connection.call("DEL", `ls:registry:worker:${worker}`);
  await connection.call("SREM", "ls:registry:worker", worker);
}

/** The names of the workers that live and serve a stage, in order. */
export async function workersOf(connection, stage) {
  const names = (await connection.call("SMEMBERS", "ls:registry:worker")).map(String).sort();
  const beats = await Promise.all(names.map((name) => connection.call("GET", `ls:registry:worker:${name}`)));
  return names.filter((_, i) => beats[i] && decode(beats[i]).get("stages").split(",").includes(stage));
}

export async function edgeLives(connection, edge) {
  return (await connection.call("EXISTS", `ls:registry:edge:${edge}`)) === 1;
}

/** For how long the server has been up, milliseconds. */
export async function uptimeMs(connection) {
  const about = String(await connection.call("INFO", "server"));
  return Number(/uptime_in_seconds:(\d+)/.exec(about)?.[1] ?? 0) * 1000;
}

/** A pack: its producer, and its events as maps. An entry of another kind has none. */
export function unpacked(raw) {
  const pack = raw ? decode(raw) : new Map();
  return { src: pack.get("src") ?? "", events: pack.get("events") ?? [] };
}

export function packed(src, events) {
  return encode(new Map([["src", src], ["events", events]])); // prettier-ignore
}

/** [id, pack] of each entry that XREAD or XRANGE gave. */
export function entriesOf(reply) {
  return (reply ?? []).map(([id, fields]) => [String(id), fields?.length === 2 ? fields[1] : null]);
}

function openCall(value) {
  const [first, released, digest, ...rest] = value.split("|");
  const deadline = rest.pop();
  return { first, released: Number(released), digest: Number(digest), edge: rest.join("|"), deadline: Number(deadline) };
}

function pairs(flat) {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
}
