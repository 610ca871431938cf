// The page put together: what the address shows is given to the parts, and a look each minute asks for what they need.
// No part asks another; what they draw is their own.

import { go, link, shown, whenShown } from "./address.js";
import { createAlarms } from "./alarms.js";
import { ask, askHealth } from "./api.js";
import { compare } from "./clock.js";
import { byId, setAttribute, setText } from "./dom.js";
import { number } from "./format.js";
import { createHealth } from "./health.js";
import { createMetric } from "./metric.js";
import { createRanking } from "./ranking.js";
import { renew } from "./renewal.js";

const DAY = 86_400_000;

const health = createHealth(announce);
const alarms = createAlarms(announce);
const ranking = createRanking();
const metric = createMetric(announce);
let asOf = null;
let answer = null; // of the overview, of the measure that is shown
let open = 0;
let before = null; // what was shown

/** Say something to screen readers, once, without moving anything. */
function announce(text) {
  setText(byId("announce"), text);
}

/** Show what the address says with what is known already. */
function draw() {
  const now = shown();
  const view = now.metric ? "metric" : now.view || "ranking";
  document.body.dataset.view = view;
  byId("metric").hidden = view !== "metric";
  byId("alarms").hidden = view === "metric";
  setAttribute(byId("home"), "href", "#");
  setAttribute(byId("to-ranking"), "href", link(now, { metric: "", view: "" }));
  setAttribute(byId("to-alarms"), "href", link(now, { metric: "", view: "alarms" }));
  setAttribute(byId("to-ranking"), "aria-current", view === "ranking" ? "page" : null);
  setAttribute(byId("to-alarms"), "aria-current", view === "alarms" ? "page" : null);
  ranking.show(now, answer);
  title(now);
  return now;
}

function title(now) {
  const row = now.metric ? ranking.of(now.metric) : null;
  const value = row && now.measure === "price" ? ` ${number(row.last_value, 8)}` : "";
  const what = now.metric ? `${now.metric}${value} · ` : "";
  setText(document.querySelector("title"), `${open ? `(${open}) ` : ""}${what}pricetracker`);
}

/** One look at everything that is shown. It answers the newest minute in ms. */
async function look() {
  lookAtHealth();
  const now = shown();
  const overview = await ask("overview", { measure_name: now.measure });
  asOf = overview.as_of === null ? null : Date.parse(overview.as_of);
  health.covers(
    asOf,
    overview.data.some((row) => /^SIMULATED[_:]/.test(row.metric)),
  );
  if (now.measure === shown().measure) answer = overview;
  const drawn = draw();
  await Promise.all([lookAtAlarms(drawn), lookAtMetric(drawn)]);
  return asOf;
}

/** No number waits for the judgement, which may take seconds; whoever does not answer fails the look by the overview. */
async function lookAtHealth() {
  const asked = Date.now();
  try {
    const told = await askHealth();
    compare(told.now, asked);
    health.hear(told);
  } catch (error) {
    health.unjudged(error.message);
  }
}

async function lookAtAlarms(now) {
  const since = asOf === null ? null : `${new Date(asOf - DAY).toISOString().slice(0, 19)}Z`;
  const both = async (name) => {
    const answers = await Promise.all([ask(name, { open: "true" }), ask(name, { since })]);
    return [...new Map(answers.flatMap((each) => each.data).map((row) => [row.id, row])).values()];
  };
  open = alarms.show(now, ...(await Promise.all([both("alerts"), both("incidents")])));
  title(now);
}

async function lookAtMetric(now) {
  if (now.metric) await metric.show(now, asOf, ranking.of(now.metric), health.ui);
  else metric.leave();
}

function failed(error) {
  health.fail(error);
  ranking.refuse(error.kind === "sign-in" ? "Sign in to see the ranking." : `Nothing to show yet: ${error.message}.`);
}

const lookNow = renew(look, failed);

whenShown(() => {
  const now = draw();
  const was = before ?? now;
  before = now;
  if (now.measure !== was.measure) {
    answer = null;
    lookNow();
  }
  lookAtMetric(now).catch(failed);
  if (now.metric !== was.metric) {
    if (now.metric && !byId("ranking-scroll").offsetWidth)
      metric.focus(); // beside the ranking, the keys go on there
    else if (now.metric) ranking.focus(now.metric);
    else ranking.focus(was.metric);
  } else if (now.view !== was.view && now.view === "alarms") byId("alarms-title").focus({ preventScroll: true });
});
before = draw();

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  ranking.focus("");
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input[type=search]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    if (!byId("find").offsetWidth) go({ metric: "", view: "" });
    byId("find").focus();
    byId("find").select();
  } else if (event.key === "Escape") leave(typing);
  else if (typing && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    ranking.focus("");
  }
});

/** Escape: close what is open, from the smallest to the largest. */
function leave(typing) {
  const lamp = byId("lamp");
  const now = shown();
  if (lamp.open) {
    lamp.open = false;
    lamp.querySelector("summary").focus();
  } else if (typing && now.find) {
    byId("find").value = "";
    go({ find: "" }, { replace: true });
  } else if (now.metric) go({ metric: "" });
  else if (now.view) go({ view: "" });
}

addEventListener("click", (event) => {
  const lamp = byId("lamp");
  if (lamp.open && !lamp.contains(event.target)) lamp.open = false;
});
