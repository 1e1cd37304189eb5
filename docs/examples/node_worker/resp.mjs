// A connection to Redis or Valkey: RESP 2 over a socket. Commands may be sent before earlier ones are answered.

import net from "node:net";

/** The server refused a command. */
export class Refused extends Error {}

/** The connection is gone: whether the commands on their way were executed is not known. */
export class Lost extends Error {}

const DEADLINE_MS = 2000;

export class Connection {
  #socket;
  #waiting = [];
  #parser = new Parser();
  #error = null;

  /** Connect to `redis://[:password@]host[:port]` or `unix://[:password@]/path`. Rejects with `Lost`. */
  static async open(url) {
    const { where, user, password } = parse(url);
    const connection = new Connection();
    await connection.#connect(where);
    if (password) await connection.call("AUTH", ...(user ? [user] : []), password);
    return connection;
  }

  /** Send one command; resolves with its reply. Rejects with `Refused` or `Lost`. */
  call(...command) {
    return this.send(command);
  }

  /** As `call`, with milliseconds that the reply may take. */
  send(command, deadlineMs = DEADLINE_MS) {
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.close(new Lost(`no reply within ${deadlineMs} ms`)), deadlineMs);
      this.#waiting.push({ resolve, reject, timer });
      this.#socket.write(written(command));
    });
  }

  /** End it; what waits for a reply is rejected. */
  close(error = new Lost("closed")) {
    if (this.#error) return;
    this.#error = error;
    this.#socket.destroy();
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }

  get closed() {
    return this.#error !== null;
  }

  #connect(where) {
    return new Promise((resolve, reject) => {
      this.#socket = net.connect({ ...where, noDelay: true });
      this.#socket.setTimeout(DEADLINE_MS, () => reject(new Lost("the server cannot be reached")));
      this.#socket.once("connect", () => {
        this.#socket.setTimeout(0);
        resolve();
      });
      this.#socket.on("error", (error) => {
        reject(new Lost(error.message));
        this.close(new Lost(error.message));
      });
      this.#socket.on("close", () => this.close(new Lost("the server closed the connection")));
      this.#socket.on("data", (data) => this.#take(data));
    });
  }

  #take(data) {
    for (const reply of this.#parser.feed(data)) {
      const { resolve, reject, timer } = this.#waiting.shift();
      clearTimeout(timer);
      if (reply instanceof Refused) reject(reply);
      else resolve(reply);
    }
  }
}

function parse(url) {
  const match = /^(redis|unix):\/\/(?:([^:@/]*):([^@]*)@)?(.*)$/.exec(url);
  if (!match) throw new Error(`${url.split(":")[0]}: is no URL for this worker; write redis:// or unix://`);
  const [, scheme, user, password, rest] = match;
  const credentials = { user: user ?? "", password: decodeURIComponent(password ?? "") };
  if (scheme === "unix") return { where: { path: rest.split("?")[0] }, ...credentials };
  const { hostname, port } = new URL(`redis://${rest}`);
  return { where: { host: hostname.replace(/^\[|\]$/g, "") || "127.0.0.1", port: Number(port || 6379) }, ...credentials };
}

function written(command) {
  const parts = [Buffer.from(`*${command.length}\r\n`)];
  for (const word of command) {
    const bytes = Buffer.isBuffer(word) ? word : Buffer.from(String(word));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** Cuts what the socket gives into replies: Buffer for text, number, Array, null, or Refused. */
class Parser {
  #held = Buffer.alloc(0);
  #at = 0;

  *feed(data) {
    this.#held = this.#held.length ? Buffer.concat([this.#held, data]) : data;
    this.#at = 0;
    for (;;) {
      const start = this.#at;
      const reply = this.#reply();
      if (reply === undefined) {
        this.#held = this.#held.subarray(start);
        return;
      }
      yield reply;
    }
  }

  /** The next reply, undefined if it is not whole yet. */
  #reply() {
    const end = this.#held.indexOf("\r\n", this.#at);
    if (end < 0) return undefined;
    const kind = this.#held[this.#at];
    const line = this.#held.toString("utf8", this.#at + 1, end);
    this.#at = end + 2;
    if (kind === 0x2b) return Buffer.from(line); // +
    if (kind === 0x2d) return new Refused(line); // -
    if (kind === 0x3a) return Number(line); // :
    if (kind === 0x24) return this.#bytes(Number(line)); // $
    if (kind === 0x2a) return this.#list(Number(line)); // *
    throw new Error("the server does not speak RESP 2");
  }

  #bytes(size) {
    if (size < 0) return null;
    if (this.#held.length < this.#at + size + 2) return undefined;
    this.#at += size + 2;
    return this.#held.subarray(this.#at - size - 2, this.#at - 2);
  }

  #list(size) {
    if (size < 0) return null;
    const list = [];
    for (let i = 0; i < size; i++) {
      const item = this.#reply();
      if (item === undefined) return undefined;
      list.push(item);
    }
    return list;
  }
}
