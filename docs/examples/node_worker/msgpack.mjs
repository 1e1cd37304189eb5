// MessagePack, as far as the log uses it. Text is String, bytes are Buffer, maps are Map; both keep their order, so that
// what is read and written again is the same bytes. Integers beyond 2^53 are BigInt; a Float stays a float.

/** A number that was written as a float, so that it is one again: 1.0 is not 1. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

/** Bytes to a value. Throws RangeError where they end too early, or have something behind the value. */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (reader.at !== bytes.length) throw new RangeError("there is something behind the value");
  return value;
}

/** A value to bytes, each in the shortest form. An object counts as a map. */
export function encode(value) {
  const parts = [];
  write(value, parts);
  return Buffer.concat(parts);
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(size) {
    if (this.at + size > this.bytes.length) throw new RangeError("the bytes end too early");
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  number(size) {
    return this.take(size).readUIntBE(0, size);
  }

  value() {
    const tag = this.number(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.map(tag & 0x0f);
    if (tag < 0xa0) return this.list(tag & 0x0f);
    if (tag < 0xc0) return this.take(tag & 0x1f).toString();
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Buffer.from(this.take(this.number(1 << (tag - 0xc4))));
      case 0xca:
        return new Float(this.take(4).readFloatBE());
      case 0xcb:
        return new Float(this.take(8).readDoubleBE());
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.number(1 << (tag - 0xcc));
      case 0xcf:
        return small(this.take(8).readBigUInt64BE());
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = 1 << (tag - 0xd0);
        return this.take(size).readIntBE(0, size);
      }
      case 0xd3:
        return small(this.take(8).readBigInt64BE());
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.take(this.number(1 << (tag - 0xd9))).toString();
      case 0xdc:
      case 0xdd:
        return this.list(this.number(2 << (tag - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.map(this.number(2 << (tag - 0xde)));
      default:
        throw new RangeError(`the log has no values of the kind 0x${tag.toString(16)}`);
    }
  }

  list(size) {
    const list = [];
    for (let i = 0; i < size; i++) list.push(this.value());
    return list;
  }

  map(size) {
    const map = new Map();
    for (let i = 0; i < size; i++) {
      const key = this.value();
      map.set(key, this.value());
    }
    return map;
  }
}

function small(big) {
  const number = Number(big);
  return Number.isSafeInteger(number) ? number : big;
}

function write(value, parts) {
  if (value === null || value === undefined) parts.push(Buffer.of(0xc0));
  else if (value === false || value === true) parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number" || typeof value === "bigint") parts.push(integer(value));
  else if (value instanceof Float) parts.push(float(value.value));
  else if (typeof value === "string") {
    const text = Buffer.from(value);
    parts.push(text.length < 32 ? Buffer.of(0xa0 | text.length) : sized(0xd9, text.length, 1), text);
  } else if (Buffer.isBuffer(value)) parts.push(sized(0xc4, value.length, 1), value);
  else if (Array.isArray(value)) {
    parts.push(value.length < 16 ? Buffer.of(0x90 | value.length) : sized(0xdc, value.length, 2));
    for (const item of value) write(item, parts);
  } else {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    parts.push(entries.length < 16 ? Buffer.of(0x80 | entries.length) : sized(0xde, entries.length, 2));
    for (const [key, item] of entries) {
      write(key, parts);
      write(item, parts);
    }
  }
}

/** A tag with a length behind it, in the first of 1, 2, 4 bytes (from `least` on) that holds it. */
function sized(tag, length, least) {
  const sizes = [1, 2, 4].filter((size) => size >= least);
  const place = sizes.findIndex((size) => length < 2 ** (8 * size));
  const head = Buffer.alloc(1 + sizes[place]);
  head.writeUInt8(tag + place);
  head.writeUIntBE(length, 1, sizes[place]);
  return head;
}

function integer(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return float(value);
  if (value >= 0) {
    if (value < 0x80) return Buffer.of(Number(value));
    return fixed(0xcc, BigInt(value), value < 2 ** 8 ? 1 : value < 2 ** 16 ? 2 : value < 2 ** 32 ? 4 : 8);
  }
  if (value >= -32) return Buffer.of(0x100 + Number(value));
  const size = value >= -(2 ** 7) ? 1 : value >= -(2 ** 15) ? 2 : value >= -(2 ** 31) ? 4 : 8;
  return fixed(0xd0, BigInt.asUintN(8 * size, BigInt(value)), size);
}

function fixed(tag, value, size) {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt8(tag + Math.log2(size));
  bytes.writeBigUInt64BE(value << BigInt(8 * (8 - size)), 1);
  return bytes.subarray(0, 1 + size);
}

function float(value) {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt8(0xcb);
  bytes.writeDoubleBE(value, 1);
  return bytes;
}
