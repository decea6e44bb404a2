// What the controls can say, and the tables that the rules are given for it: both as Python hands them over.

/**
 * @typedef {string | number | boolean} Value
 * @typedef {Record<string, Value>} Settings
 * @typedef {{label: string, kind: string, values: Value[], texts: string[], default: Value,
 *   needs: {any_of: [string, Value[]][], why: string, revisions_only: boolean}[]}} ControlSpec `needs`: each is met by one
 *   of these values of one of these controls; unless all are met the control has no effect
 * @typedef {import("./engine.js").Given} Given
 * @typedef {{controls: Record<string, ControlSpec>, base: Given, patches: Record<string, Given[]>, joint: string[],
 *   joint_patches: Record<string, Given>, arguments: string[], constant: Record<string, string>}} WorldData
 */

/**
 * Return what every control says at first.
 * @param {WorldData} world
 * @returns {Settings}
 */
export function defaults(world) {
  return Object.fromEntries(Object.entries(world.controls).map(([name, control]) => [name, control.default]));
}

/**
 * Return the tables that the rules are given for some settings.
 * @param {WorldData} world
 * @param {Settings} settings all of them
 * @returns {Given}
 */
export function given(world, settings) {
  const tables = /** @type {Given} */ (structuredClone(world.base));
  for (const [name, patches] of Object.entries(world.patches)) {
    apply(tables, patches[world.controls[name].values.indexOf(settings[name])]);
  }
  if (world.joint.length > 0) apply(tables, world.joint_patches[world.joint.map((name) => pythonText(settings[name])).join("|")]);
  return tables;
}

/**
 * Return a value as Python's str() shows it.
 * @param {Value} value
 */
function pythonText(value) {
  return value === true ? "True" : value === false ? "False" : String(value);
}

/**
 * Change some tables as a patch says: fields of records, or a whole table of another length.
 * @param {Given} tables
 * @param {Given} patch
 */
function apply(tables, patch) {
  for (const [name, rows] of Object.entries(patch)) {
    const table = tables[name];
    if (name === "guests" && Array.isArray(table) && Array.isArray(rows) && rows.length === table.length) {
      rows.forEach((fields, i) => Object.assign(/** @type {object} */ (table[i]), fields));
    } else if (Array.isArray(rows)) tables[name] = structuredClone(rows);
    else Object.assign(table, rows);
  }
}
