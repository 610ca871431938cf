// When to look again: shortly after the next minute is due, soon again while it is late, and quickly after a failure.
// What a look asks for is given by main.js.

import { now } from "./clock.js";

const AFTER_DUE = 4_000; // a tick takes a few seconds from the minute's end to the published file
const LATE = [2_000, 3_000, 5_000, 8_000, 15_000];
const FAILED = [1_000, 1_000, 2_000, 3_000, 5_000, 10_000];

/**
 * How many milliseconds until the next look.
 *
 * @param asOf open time of the newest minute in ms, null while nothing is stored: the next one is due two minutes later.
 * @param time the server's time in ms.
 * @param failures how many looks failed since the last that did not.
 * @param late how many looks found nothing new since the minute was due.
 */
export function pause(asOf, time, failures, late) {
  if (failures > 0) return FAILED[Math.min(failures, FAILED.length) - 1];
  if (asOf === null) return 5_000;
  const due = asOf + 120_000 + AFTER_DUE - time;
  if (due > 0) return Math.min(due, 61_000 + AFTER_DUE); // a minute of the future must not stop it
  return LATE[Math.min(late, LATE.length - 1)];
}

/** Look now and from then on; `look` answers the newest minute in ms or null, and throws where nothing answers. */
export function renew(look, failed) {
  let timer = 0;
  let failures = 0;
  let late = 0;
  let newest = null;
  let running = false;
  let again = false;

  async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    clearTimeout(timer);
    try {
      const asOf = await look();
      late = asOf === newest ? late + 1 : 0;
      newest = asOf;
      failures = 0;
    } catch (error) {
      failures += 1;
      failed(error, pause(newest, now(), failures, late));
    }
    running = false;
    timer = setTimeout(run, again ? 0 : pause(newest, now(), failures, late));
    again = false;
  }

  // A hidden page's timers are slowed down: whoever comes back sees the present at once.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && run());
  addEventListener("online", run);
  addEventListener("pageshow", (event) => event.persisted && run());
  run();
  return run;
}
