// What is wrong with something that the reader has given, in the words of `kvmlab.scenario.checks.refusal`.

const LONGEST_QUOTE = 40;

/**
 * Return the error for a value; `must` says what is allowed.
 * @param {string} field
 * @param {string} value
 * @param {string} must
 */
export const refusal = (field, value, must) => new Error(`${field}: ${quoted(value)} is not allowed; it must be ${must}`);

/** @param {string} text */
function quoted(text) {
  const letters = Array.from(text);
  return letters.length <= LONGEST_QUOTE ? `"${text}"` : `"${letters.slice(0, LONGEST_QUOTE).join("")}..."`;
}
