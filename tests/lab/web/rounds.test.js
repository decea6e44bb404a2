// The score of a game: who lost what beyond the best choice, counted guest by guest.

import assert from "node:assert/strict";
import test from "node:test";

import { extra, scores } from "../../../kvmlab/lab/web/rounds.js";

/** @param {string} who @param {number} lost @param {string | null} exit @param {number} housekeeping */
const outcome = (who, lost, exit, housekeeping = 0) => ({ who, lost, exit, housekeeping, by: 0, delivery: "posted", late: 1, summary: "", why: "" });
/** @param {string} guest @param {number[]} choices @param {number[]} policies */
const round = (guest, choices, policies) => ({
  case: { guest, settings: {} },
  choices: choices.map((lost, i) => outcome(String(i), lost, i === 0 ? "HLT" : null, i)),
  policies: policies.map((lost, i) => outcome(`rev${i}`, lost, "HLT", 7)),
});
const ROUNDS = [round("poller", [30, 20, 50], [20, 50]), round("database", [5, 9, 6], [5, 5]), round("poller", [1, 1, 4], [4, 0])];

test("lost is what goes beyond the best choice, never less than nothing", () => {
  assert.deepEqual(ROUNDS[0].choices.map((each) => extra(ROUNDS[0], each)), [10, 0, 30]);
  assert.equal(extra(ROUNDS[2], ROUNDS[2].policies[1]), 0);
});

test("a score sums exits, losses and the housekeeping CPU's time, and names who paid", () => {
  assert.deepEqual(scores(ROUNDS, [0, 1, 2], "you"), [
    { who: "you", exits: 1, extra: 17, housekeeping: 3, paid: { poller: 13, database: 4 } },
    { who: "rev0", exits: 3, extra: 3, housekeeping: 21, paid: { poller: 3 } },
    { who: "rev1", exits: 3, extra: 30, housekeeping: 21, paid: { poller: 30 } },
  ]);
});

test("before the first round nobody has paid", () => {
  assert.deepEqual(scores([], [], "you"), [{ who: "you", exits: 0, extra: 0, housekeeping: 0, paid: {} }]);
});
