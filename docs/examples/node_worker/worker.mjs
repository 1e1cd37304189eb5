// A policy worker in Node.js that shares nothing with the Python package: `node worker.mjs --redis URL --stage KEY`.
// It lives, takes its share of the stage's partitions, renews their leases, and gives them back on SIGTERM.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { parseArgs } from "node:util";

import * as bus from "./bus.mjs";
import { Forgotten, Partition } from "./partition.mjs";
import { Connection, Lost } from "./resp.mjs";

const BEAT_EVERY_MS = 1000;
const RENEW_EVERY_MS = 1500;
const PATIENCE_MS = 30_000;

const { values: flags } = parseArgs({
  options: {
    redis: { type: "string" },
    stage: { type: "string" },
    scripts: { type: "string", default: bus.SCRIPTS_HERE },
    unrecorded: { type: "boolean", default: false },
  },
});
if (!flags.redis || !flags.stage) {
  process.stderr.write("usage: node worker.mjs --redis redis://… --stage NAME@VERSION [--scripts FOLDER] [--unrecorded]\n");
  process.exit(2);
}

const worker = `${process.pid}-${hostname()}-${randomBytes(4).toString("hex")}`;
const owned = new Map();
let control = await connected();
let scripts = await bus.Scripts.load(control, flags.scripts);
let stopping = false;

function say(event, facts = {}) {
  process.stdout.write(`${JSON.stringify({ event, worker, ...facts })}\n`);
}

/** The first connection; a server that is still starting is waited for. */
async function connected() {
  for (let end = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await Connection.open(flags.redis);
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** Take the partition and serve it as long as it is ours. */
async function serve(name) {
  const acquired = await bus.acquire(control, scripts, name, worker, randomBytes(8).toString("hex"));
  if (acquired === null) return;
  await bus.register(control, name, !flags.unrecorded);
  const partition = new Partition({ url: flags.redis, scripts, stage: flags.stage, name, acquired, control: () => control });
  owned.set(name, partition);
  say("acquired", { partition: name, open: acquired.open.size });
  partition.done = partition
    .run()
    .catch((error) => {
      say("forgotten", { partition: name, error: error.message });
      if (!(error instanceof Forgotten || error instanceof Lost)) throw error;
    })
    .finally(() => owned.delete(name));
}

/** Say that we live, then take or give back, so that all workers of the stage have about as many. */
async function balance() {
  await bus.beat(control, worker, flags.stage);
  const alive = await bus.workersOf(control, flags.stage);
  const share = Math.ceil(bus.PARTITIONS / Math.max(1, alive.length));
  for (const partition of [...owned.values()].slice(share)) partition.stop();
  for (let number = 0; number < bus.PARTITIONS && owned.size < share; number++) {
    const name = `${flags.stage}:${number}`;
    if (!owned.has(name)) await serve(name);
  }
}

async function renewAll() {
  for (const [name, partition] of owned) {
    if (!(await bus.renew(control, scripts, name, partition.owner, worker))) partition.forget();
  }
}

/** Do it again and again; where the server is away, come back to it. */
async function repeat(work, everyMs) {
  while (!stopping) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      say("server_lost", { error: error.message });
      await reconnect();
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

async function reconnect() {
  if (!control.closed) return;
  try {
    const fresh = await Connection.open(flags.redis);
    scripts = await bus.Scripts.load(fresh, flags.scripts);
    control = fresh;
  } catch (error) {
    if (!(error instanceof Lost)) throw error; // it is tried again
  }
}

async function stop() {
  if (stopping) return;
  stopping = true;
  for (const partition of owned.values()) partition.stop();
  await Promise.allSettled([...owned.values()].map((partition) => partition.done));
  await bus.unbeat(control, worker);
  say("stopped");
  process.exit(0);
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
await balance();
say("ready", { stage: flags.stage });
await Promise.all([repeat(balance, BEAT_EVERY_MS), repeat(renewAll, RENEW_EVERY_MS)]);
