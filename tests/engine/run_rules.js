// Runs the module of the rules on some machines, outside Python: the same function serves Node and a page.
// `all`: {module, layout, pieces, constant, machines}; bytes are base64, a given table is a number of a piece.
// Returns for each machine the time reached and its tables, but for the constant ones.
async (all) => {
  const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const textOf = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
  };
  const { layout } = all;
  const pieces = all.pieces.map(bytesOf);
  const module = await WebAssembly.compile(bytesOf(all.module));
  const names = Object.keys(layout.tables);
  const results = [];
  for (const machine of all.machines) {
    const given = Object.fromEntries(layout.given.map((name) => [name, pieces[machine.given[name]]]));
    const address = {};
    const length = {};
    let end = layout.words_at + 16 * names.length;
    const lay = (name, entries) => {
      address[name] = end;
      length[name] = entries;
      end += Math.ceil((entries * layout.tables[name].size) / layout.alignment) * layout.alignment;
    };
    for (const name of layout.given) lay(name, given[name].length / layout.tables[name].size);
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536) });
    const { exports } = await WebAssembly.instantiate(module, { env: { __linear_memory: memory } });
    const call = (rule, ...rest) => {
      const words = new BigInt64Array(memory.buffer, layout.words_at, 2 * names.length);
      names.forEach((name, i) => {
        words[2 * i] = BigInt(address[name] ?? 0);
        words[2 * i + 1] = BigInt(length[name] ?? 0);
      });
      return exports[rule](layout.words_at, ...rest);
    };
    for (const name of layout.given) new Uint8Array(memory.buffer).set(given[name], address[name]);
    call("plan");
    const sizes = new DataView(memory.buffer, address.sizes);
    for (const name of layout.planned) lay(name, Number(sizes.getBigInt64(layout.tables.sizes.fields[name][0], true)));
    const missing = end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    call("prepare");
    const reached = call("run", BigInt(machine.until));
    const tables = {};
    for (const name of names) {
      if (all.constant.includes(name)) continue;
      tables[name] = textOf(new Uint8Array(memory.buffer, address[name], length[name] * layout.tables[name].size));
    }
    results.push({ reached: String(reached), tables });
  }
  return results;
}
