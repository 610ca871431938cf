// How all is: as_of and its age, the lamp with the reason in words, and the banners that nobody can overlook. What is
// wrong is judged by the server (/health); only that it no longer answers, and that time passes, is judged here.

import { now } from "./clock.js";
import { byId, element, keyed, setAttribute, setText } from "./dom.js";
import { clock, lasting, timeElement, when } from "./format.js";

/** A newest minute that ended so many seconds ago is stale: two ticks have brought nothing. */
export const STALE_SECONDS = 180;

const SIGNS = {
  well: "M8 1a7 7 0 100 14A7 7 0 008 1z",
  trouble: "M8 1l7.5 14H.5z",
  silent: "M2 2h12v12H2z",
  asking: "M3 7h10v2H3z",
};

/** Build the lamp, the age and the banners; `announce` says a change to screen readers. */
export function createHealth(announce) {
  const state = {
    health: null,
    unjudged: null,
    asOf: null,
    failure: null,
    since: null,
    signIn: false,
    unavailable: false,
  };
  let lampBefore = "";

  function draw() {
    const age = state.asOf === null ? null : (now() - state.asOf - 60_000) / 1000;
    const stale = age !== null && age > STALE_SECONDS;
    drawAge(age, stale);
    drawLamp(stale);
    drawBanners(age, stale);
  }

  function drawAge(age, stale) {
    const place = byId("as-of-time");
    if (state.asOf === null) setText(place, "–");
    else {
      const text = `${when(state.asOf, now())} UTC`;
      if (place.textContent !== text) place.replaceChildren(timeElement(state.asOf, text));
    }
    setText(byId("as-of-age"), age === null ? "" : age < 0 ? "yet to come" : `${lasting(age)} ago`);
    setAttribute(byId("as-of"), "data-stale", stale);
    setAttribute(byId("as-of"), "title", "The newest closed minute that is shown, and how long ago it ended");
  }

  function drawLamp(stale) {
    const troubles = state.health?.troubles ?? [];
    const kind = kindNow(stale, troubles);
    const more = troubles.length > 1 ? ` (and ${troubles.length - 1} more)` : "";
    const told = {
      asking: "Looking …",
      silent: state.failure
        ? `${state.unavailable ? "No numbers" : "No answer"}: ${state.failure}`
        : `Health is not known: ${state.unjudged}`,
      trouble: troubles.length ? `${troubles[0]}${more}` : "The newest minute is old",
      well: "All is well",
    }[kind];
    setAttribute(byId("lamp"), "data-kind", kind);
    setAttribute(byId("lamp-sign"), "d", SIGNS[kind]);
    setText(byId("lamp-text"), told);
    setAttribute(byId("lamp-text"), "title", told);
    const lines = troubles.length ? troubles : [told];
    keyed(
      byId("troubles"),
      lines,
      (line) => line,
      () => element("li"),
      setText,
    );
    drawFacts();
    if (lampBefore && lampBefore !== "asking" && lampBefore !== kind)
      announce(kind === "well" ? "All is well again" : told);
    lampBefore = kind;
  }

  function kindNow(stale, troubles) {
    if (state.failure) return "silent";
    if (stale || troubles.length) return "trouble";
    if (state.unjudged) return "silent";
    return state.health ? "well" : "asking";
  }

  function drawFacts() {
    const health = state.health ?? {};
    const facts = [
      ["Metrics", Array.isArray(health.metrics) ? String(health.metrics.length) : null],
      ["Data folder", health.data ?? null],
      ["Looked at", health.now ? `${clock(health.now, true)} UTC` : null],
    ].filter(([, text]) => text);
    keyed(
      byId("facts"),
      facts,
      ([name]) => name,
      ([name]) => element("div", {}, element("dt", {}, name), element("dd")),
      (row, [, text]) => setText(row.lastChild, text),
    );
    const ui = byId("dagster-ui");
    const address = link(health.ui);
    ui.hidden = !address;
    if (address) setAttribute(ui, "href", address);
  }

  function drawBanners(age, stale) {
    const banners = [];
    if (state.signIn)
      banners.push({
        kind: "stale",
        title: "Signed out.",
        text: "This server asks for its token.",
        to: "/sign-in",
        call: "Sign in",
      });
    else if (state.unavailable)
      banners.push({ kind: "stale", title: "No numbers.", text: `${state.failure}. Asking again in a moment.` });
    else if (state.failure) {
      const since = state.since ? ` since ${clock(state.since, true)} UTC` : "";
      banners.push({
        kind: "stale",
        title: "No answer from the server",
        text: `${since ? `${since.trim()}; ` : ""}what is shown is as it was then. Asking again in a moment.`,
      });
    }
    if (stale) {
      banners.push({
        kind: "stale",
        title: "Stale data.",
        text: `The newest minute is ${when(state.asOf, now())} UTC and ended ${lasting(age)} ago. Do not take these numbers for the present.`,
      });
    }
    if (state.health && state.health.as_of === null && state.asOf === null && !state.failure) {
      banners.push({
        kind: "stale",
        title: "Nothing is published yet.",
        text: "The first minute appears here as soon as it is stored.",
      });
    }
    if (state.simulated || state.health?.simulated)
      banners.push({
        kind: "simulated",
        title: "Simulated data.",
        text: "These prices are invented by the built-in simulator; no exchange was asked.",
      });
    const region = byId("banners");
    region.hidden = banners.length === 0;
    keyed(
      region,
      banners,
      (each) => each.title,
      makeBanner,
      (node, each) => setText(node.querySelector("span"), each.text),
    );
  }

  setInterval(draw, 1000);
  return {
    /** Take an answer of /health. */
    hear(health) {
      Object.assign(state, { health, unjudged: null });
      draw();
    },
    /** Take that /health says nothing, and why; whether the prices are invented is remembered. */
    unjudged(why) {
      state.unjudged = why;
      draw();
    },
    /** Take the newest minute of what is shown, in ms, null while there is none; and whether its prices are invented. */
    covers(asOf, simulated) {
      Object.assign(state, { asOf, simulated, failure: null, since: null, signIn: false, unavailable: false });
      draw();
    },
    /** Take that nothing answers, and why. */
    fail(error) {
      state.signIn = error.kind === "sign-in";
      state.unavailable = error.kind === "unavailable";
      state.failure = error.message;
      state.since ??= now();
      draw();
    },
    get ui() {
      return link(state.health?.ui);
    },
  };
}

function makeBanner(banner) {
  const node = element(
    "p",
    { class: "banner", "data-kind": banner.kind },
    element("strong", {}, banner.title),
    " ",
    element("span"),
  );
  if (banner.to) node.append(" ", element("a", { href: banner.to }, banner.call));
  return node;
}

/** An address that may be followed: no scheme but http and https. */
function link(text) {
  if (!text) return null;
  try {
    const address = new URL(text, location.href);
    return ["http:", "https:"].includes(address.protocol)
      ? address.href.replace(/\/$/, "") + (address.pathname === "/" ? "/assets" : "")
      : null;
  } catch {
    return null;
  }
}
