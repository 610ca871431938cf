// The page put together: what the address shows is given to the parts, and a look each minute asks for what they need.
// No part asks another; what they draw is their own.

import { go, link, shown, whenShown } from "./address.js";
import { createAlarms } from "./alarms.js";
import { ask, askHealth } from "./api.js";
import { compare } from "./clock.js";
import { byId, element, setAttribute, setText } from "./dom.js";
import { number } from "./format.js";
import { createHealth } from "./health.js";
import { createMarkets } from "./markets.js";
import { createMetric } from "./metric.js";
import { createRanking } from "./ranking.js";
import { renew } from "./renewal.js";

const DAY = 86_400_000;

const health = createHealth(announce);
const alarms = createAlarms(announce);
const ranking = createRanking();
const markets = createMarkets(announce);
const metric = createMetric(announce);
let asOf = null;
let answer = null; // of the overview, of the measure that is shown
let open = 0;
let before = null; // what was shown

/** Say something to screen readers, once, without moving anything; what is said at the same time is said, too. */
function announce(text) {
  const said = element("p", {}, text);
  byId("announce").append(said);
  setTimeout(() => said.remove(), 10_000);
}

/** Whether an address is of the list of markets or of one; a market alone says it, too. */
const isOfMarkets = (now) => now.market !== "" || now.view === "markets";

/** Show what the address says with what is known already. */
function draw() {
  const now = shown();
  const view = now.metric ? "metric" : isOfMarkets(now) ? "markets" : now.view || "ranking";
  document.body.dataset.view = view;
  byId("metric").hidden = view !== "metric";
  byId("markets").hidden = view !== "markets";
  byId("alarms").hidden = view === "metric" || view === "markets";
  setAttribute(byId("home"), "href", "#");
  for (const name of ["ranking", "alarms", "markets"]) {
    const to = byId(`to-${name}`);
    setAttribute(to, "href", link(now, { metric: "", market: "", view: name === "ranking" ? "" : name }));
    setAttribute(to, "aria-current", view === name ? "page" : null);
  }
  byId("to-markets").hidden = !markets.any() && view !== "markets";
  ranking.show(now, answer);
  title(now);
  return now;
}

function title(now) {
  const row = now.metric ? ranking.of(now.metric) : null;
  const value = row && now.measure === "price" ? ` ${number(row.last_value, 8)}` : "";
  const what = now.metric ? `${now.metric}${value} · ` : now.market ? `${now.market} · ` : "";
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
  await Promise.all([lookAtAlarms(draw()), lookAtMarkets()]);
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

/** What is compared is asked for each time, since whether there is anything leads to it; then what is open is shown. */
async function lookAtMarkets() {
  markets.hear((await ask("markets")).data);
  await lookAtPane(draw());
}

async function lookAtPane(now) {
  if (!now.metric) metric.leave();
  if (now.metric || !isOfMarkets(now)) markets.leave();
  if (now.metric) await metric.show(now, asOf, ranking.of(now.metric), markets.of(now.metric), health.ui);
  else if (isOfMarkets(now)) await markets.show(now, asOf);
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
  lookAtPane(now).catch(failed);
  if (now.metric !== was.metric) {
    if (now.metric && !byId("ranking-scroll").offsetWidth)
      metric.focus(); // beside the ranking, the keys go on there
    else if (now.metric) ranking.focus(now.metric);
    else if (now.market) markets.focus(now.market);
    else ranking.focus(was.metric);
  } else if (now.market !== was.market || (now.view !== was.view && now.view === "markets")) {
    if (now.market || now.view === "markets") markets.focus(now.market);
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
    if (!byId("find").offsetWidth) go({ metric: "", market: "", view: "" });
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
  else if (now.market) go({ market: "" });
  else if (now.view) go({ view: "" });
}

addEventListener("click", (event) => {
  const lamp = byId("lamp");
  if (lamp.open && !lamp.contains(event.target)) lamp.open = false;
});
