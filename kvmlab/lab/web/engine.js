// The rules in the browser: the module that Python runs too, and a memory laid out as Python says.

/**
 * @typedef {{size: number, single: boolean, fields: Record<string, [number, string]>}} TableLayout
 * @typedef {{words_at: number, alignment: number, given: string[], planned: string[],
 *   tables: Record<string, TableLayout>}} Layout
 * @typedef {Record<string, number>} Fields
 * @typedef {Record<string, Fields | Fields[] | number[]>} Given what the rules are given, table by table
 */

const PAGE = 65536;
const HIGH = 4294967296;
const WORD_BYTES = 8;

/**
 * Undo base64 and zlib.
 * @param {string} text
 * @returns {Promise<Uint8Array>}
 */
export async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Return the numbers whose differences, of 32 bits, were packed.
 * @param {string} text
 * @returns {Promise<Int32Array>}
 */
export async function unpackNumbers(text) {
  const numbers = new Int32Array((await inflate(text)).buffer);
  for (let i = 1; i < numbers.length; i += 1) numbers[i] += numbers[i - 1];
  return numbers;
}

/** One machine after another in one memory; the tables that never change stay where they are. */
export class Engine {
  /**
   * @param {Layout} layout
   * @param {WebAssembly.Module} module
   * @param {Record<string, Int32Array>} constant quantile tables, by their names in `data`
   */
  constructor(layout, module, constant) {
    this.layout = layout;
    this.names = Object.keys(layout.tables);
    this.memory = new WebAssembly.Memory({ initial: 1 });
    this.address = /** @type {Record<string, number>} */ ({});
    this.length = /** @type {Record<string, number>} */ ({});
    this.constant = /** @type {Record<string, {address: number, length: number}>} */ ({});
    this.end = layout.words_at + 2 * WORD_BYTES * this.names.length;
    for (const [name, numbers] of Object.entries(constant)) {
      this.constant[name] = { address: this.end, length: numbers.length };
      this.end += numbers.length * WORD_BYTES;
      this.reserve();
      const words = new Int32Array(this.memory.buffer, this.constant[name].address, 2 * numbers.length);
      numbers.forEach((number, i) => {
        words[2 * i] = number;
        words[2 * i + 1] = number < 0 ? -1 : 0;
      });
    }
    this.first = this.used = this.end;
    this.exports = /** @type {Record<string, (...args: (number | bigint)[]) => bigint>} */ (
      /** @type {unknown} */ (new WebAssembly.Instance(module, { env: { __linear_memory: this.memory } }).exports)
    );
  }

  /**
   * Compile the module that Python hands over.
   * @param {{layout: Layout, module: string, constant: Record<string, string>}} data
   * @returns {Promise<Engine>}
   */
  static async load(data) {
    const module = await WebAssembly.compile(/** @type {BufferSource} */ (await inflate(data.module)));
    const names = Object.keys(data.constant);
    const tables = await Promise.all(names.map((name) => unpackNumbers(data.constant[name])));
    return new Engine(data.layout, module, Object.fromEntries(names.map((name, i) => [name, tables[i]])));
  }

  /** Let the memory reach to the end of the tables. */
  reserve() {
    this.used = this.end;
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
  }

  /** Tell the rules where each table stands, in memory that is large enough. */
  place() {
    this.reserve();
    const words = new BigInt64Array(this.memory.buffer, this.layout.words_at, 2 * this.names.length);
    this.names.forEach((name, i) => {
      words[2 * i] = BigInt(this.address[name]);
      words[2 * i + 1] = BigInt(this.length[name]);
    });
  }

  /**
   * Give a table its place.
   * @param {string} name
   * @param {number} entries
   */
  lay(name, entries) {
    const { alignment, tables } = this.layout;
    this.address[name] = this.end;
    this.length[name] = entries;
    this.end += Math.ceil((entries * tables[name].size) / alignment) * alignment;
  }

  /**
   * Make a machine at time 0.
   * @param {Given} given every given table but the constant ones
   * @param {Record<string, string>} constant which of the packed tables stands for which constant one
   */
  prepare(given, constant) {
    new Uint8Array(this.memory.buffer, this.first, this.used - this.first).fill(0); // the rest is 0 still
    this.end = this.first;
    for (const name of this.layout.given) {
      if (name in constant) {
        const table = this.constant[constant[name]];
        this.address[name] = table.address;
        this.length[name] = table.length;
      } else this.lay(name, Array.isArray(given[name]) ? /** @type {unknown[]} */ (given[name]).length : 1);
    }
    for (const name of this.layout.planned) this.length[name] = this.address[name] = 0;
    this.place();
    for (const name of this.layout.given) if (!(name in constant)) this.write(name, given[name]);
    this.call("plan");
    const sizes = this.record("sizes");
    for (const name of this.layout.planned) this.lay(name, sizes[name]);
    this.place();
    this.call("prepare");
  }

  /**
   * Call a rule on the machine.
   * @param {string} rule
   * @param {...number} rest
   * @returns {number}
   */
  call(rule, ...rest) {
    return Number(this.exports[rule](this.layout.words_at, ...rest.map((each) => BigInt(each))));
  }

  /**
   * Write a given table.
   * @param {string} name
   * @param {Fields | Fields[] | number[]} rows
   */
  write(name, rows) {
    const { fields, size } = this.layout.tables[name];
    const view = new DataView(this.memory.buffer, this.address[name]);
    (Array.isArray(rows) ? rows : [rows]).forEach((row, i) => {
      if (typeof row === "number") view.setBigInt64(i * size, BigInt(row), true);
      else for (const [field, value] of Object.entries(row)) put(view, i * size + fields[field][0], fields[field][1], value);
    });
  }

  /**
   * Return a function that reads one field of a table's entries.
   * @param {string} table
   * @param {string} [field] none for a table of numbers
   * @returns {(entry: number) => number}
   */
  column(table, field) {
    const { fields, size } = this.layout.tables[table];
    const [offset, kind] = field === undefined ? [0, "i8"] : fields[field];
    return reader(new DataView(this.memory.buffer, this.address[table]), offset, size, kind);
  }

  /**
   * Return the fields of one entry.
   * @param {string} table
   * @param {number} [entry]
   * @returns {Fields}
   */
  record(table, entry = 0) {
    const fields = Object.keys(this.layout.tables[table].fields);
    return Object.fromEntries(fields.map((field) => [field, this.column(table, field)(entry)]));
  }
}

/**
 * Write one number; `kind` is numpy's.
 * @param {DataView} view
 * @param {number} at
 * @param {string} kind
 * @param {number} value
 */
function put(view, at, kind, value) {
  if (kind === "i8") view.setBigInt64(at, BigInt(value), true);
  else if (kind === "f8") view.setFloat64(at, value, true);
  else if (kind === "u4") view.setUint32(at, value, true);
  else view.setInt8(at, value);
}

/**
 * Return a function that reads the number of an entry; beyond 2**53 it is rounded.
 * @param {DataView} view
 * @param {number} offset of the first
 * @param {number} size from one to the next
 * @param {string} kind numpy's
 * @returns {(entry: number) => number}
 */
function reader(view, offset, size, kind) {
  if (kind === "i8") {
    return (entry) => {
      const at = entry * size + offset;
      return view.getInt32(at + 4, true) * HIGH + view.getUint32(at, true);
    };
  }
  if (kind === "f8") return (entry) => view.getFloat64(entry * size + offset, true);
  if (kind === "u4") return (entry) => view.getUint32(entry * size + offset, true);
  return (entry) => view.getInt8(entry * size + offset);
}
