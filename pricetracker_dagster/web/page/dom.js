// Making and changing elements. Here and nowhere else; always by text and attributes, never by markup, so that what
// comes as data stays text. What an element means belongs to the parts (ranking.js, metric.js, …).

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`on…` are listeners; null and false are left out) and children (text or elements). */
export function element(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same of an SVG element. */
export function drawing(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else setAttribute(made, name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** Set a text only where it differs: what is selected stays selected, and nothing flickers. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute only where it differs; null and false remove it, true makes it empty. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/**
 * Let the children of a parent be one element a row, made once a key and updated in place after that.
 * An element that has the focus keeps it, also where the others move around it.
 */
export function keyed(parent, rows, key, make, update) {
  const wanted = new Set(rows.map((row) => String(key(row))));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const before = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) before.set(child.dataset.key, child);
    else child.remove();
  }
  let at = parent.firstElementChild;
  for (const row of rows) {
    const name = String(key(row));
    let child = before.get(name);
    if (!child) {
      child = make(row);
      child.dataset.key = name;
    }
    update?.(child, row);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}
