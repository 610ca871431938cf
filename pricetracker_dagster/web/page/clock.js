// What time it is by the server's clock. The reader's own may be wrong by minutes, and an age must not be.

let ahead = 0;

/** Take the server's time from an answer that was asked for at `asked` and came now (both by this clock, in ms). */
export function compare(serverTime, asked, came = Date.now()) {
  const there = Date.parse(serverTime);
  if (Number.isFinite(there)) ahead = there - (asked + came) / 2;
}

/** The server's time now, in milliseconds. */
export const now = () => Date.now() + ahead;
