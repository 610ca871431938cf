// Rows that are made as they scroll into view: a table of any length costs as much as what fits on the screen. All rows
// have one height; what stands above and below the window is two empty rows. What a row shows is given by its table.

import { element, keyed, setAttribute } from "./dom.js";

const BEYOND = 8; // rows made beyond either edge, so that a quick turn of the wheel shows no white

/** The rows of a table body within a scrolled element. */
export class Rows {
  /** `row`: `key(row)`, `make(row)` (a tr), `update(tr, row, index)`. Height: the custom property --row of the body. */
  constructor(scroll, body, row) {
    Object.assign(this, { scroll, body, row, rows: [], height: 34 });
    this.above = spacer("above");
    this.below = spacer("below");
    scroll.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroll);
  }

  /** Show these rows; the place where one has scrolled to stays. */
  show(rows) {
    this.rows = rows;
    this.measure();
  }

  measure() {
    this.height = Number.parseFloat(getComputedStyle(this.body).getPropertyValue("--row")) || 34;
    this.draw(true);
  }

  /** Make the rows within the window; only where it has moved, or `anew`. */
  draw(anew = false) {
    const offset = Math.max(0, this.scroll.scrollTop);
    const first = Math.max(0, Math.min(this.rows.length, Math.floor(offset / this.height) - BEYOND));
    const last = Math.min(this.rows.length, Math.ceil((offset + this.scroll.clientHeight) / this.height) + BEYOND);
    if (!anew && first === this.first && last === this.last) return;
    Object.assign(this, { first, last });
    const within = this.rows.slice(first, last).map((row, i) => ({ row, index: first + i }));
    const lost = this.body.contains(document.activeElement);
    keyed(
      this.body,
      [this.above, ...within, this.below],
      (each) => (each.row ? `row ${this.row.key(each.row)}` : each.dataset.key),
      (each) => (each.row ? this.row.make(each.row) : each),
      (tr, each) => each.row && this.fill(tr, each),
    );
    this.above.style.height = `${first * this.height}px`;
    this.below.style.height = `${(this.rows.length - last) * this.height}px`;
    if (lost && !this.body.contains(document.activeElement)) this.scroll.focus({ preventScroll: true });
  }

  fill(tr, { row, index }) {
    setAttribute(tr, "aria-rowindex", index + 2); // the head is the first
    this.row.update(tr, row, index);
  }

  /** Scroll so that a row is seen whole below the table's head, and return its element. */
  reveal(index) {
    const head = this.body.previousElementSibling?.offsetHeight ?? 0;
    const top = index * this.height;
    const room = this.scroll.clientHeight - head;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    else if (top + this.height > this.scroll.scrollTop + room) this.scroll.scrollTop = top + this.height - room;
    this.draw();
    return this.element(this.rows[index]);
  }

  /** The element of a row, where it is made. */
  element(row) {
    const key = `row ${this.row.key(row)}`;
    return [...this.body.children].find((child) => child.dataset.key === key) ?? null;
  }
}

function spacer(key) {
  return element("tr", { class: "spacer", "aria-hidden": "true", "data-key": key });
}
