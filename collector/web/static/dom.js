// Building the page. Text is always set as text: nothing here, or anywhere, parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: attributes; `on` = listeners; `css` = properties, set through the CSSOM. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "css") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== undefined && child !== null && child !== false));
  return node;
}

export const replace = (node, ...children) => {
  node.replaceChildren(...children.flat(Infinity).filter(child => child !== undefined && child !== null && child !== false));
  return node;
};

// Control, format and separator characters, but for the joiners that Persian and emoji need: shown,
// never obeyed. The same rule as the command line's.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u200c": "\u200c", "\u200d": "\u200d" };

/** A stranger's text on one line, with everything unseen made visible. */
export const plain = text => String(text).replace(UNSEEN, each => NAMED[each] ?? escaped(each.codePointAt(0)));
const escaped = code => code < 0x100 ? "\\x" + hex(code, 2) : code < 0x10000 ? "\\u" + hex(code, 4) : "\\U" + hex(code, 8);
const hex = (code, width) => code.toString(16).padStart(width, "0");

/** The same where line breaks and tabs belong to the text, as in JSON. */
export const plainLines = text => String(text).split(/([\n\t])/).map((part, at) => at % 2 ? part : plain(part)).join("");

/** A stranger's text as an element that keeps its direction of writing to itself. */
export const bdi = (text, props) => h("bdi", props, plain(text));

const PATHS = {
  device: "M4 5h12v8H4zM8 16h4M10 13v3",
  entity: "M5 3h7l3 3v11H5zM8 9h4M8 12h4",
  auth: "M7 9V6.5a3 3 0 0 1 6 0V9M5 9h10v8H5zM10 12.3v1.7",
  capture: "M3 6h3l1.5-2h5L14 6h3v10H3zM10 13.5a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4",
  system: "M4 4h12v5H4zM4 11h12v5H4zM7 6.5h.01M7 13.5h.01",
  other: "M10 4 16 10 10 16 4 10z",
  search: "M8.5 14a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11M12.6 12.6 17 17",
  close: "M5 5l10 10M15 5 5 15",
  down: "M5 8l5 5 5-5",
  right: "M8 5l5 5-5 5",
  star: "M10 3.2l2 4.4 4.8.5-3.6 3.2 1 4.7-4.2-2.4-4.2 2.4 1-4.7L3.2 8.1l4.8-.5z",
  plus: "M10 4v12M4 10h12",
  link: "M8 12l4-4M7 9l-2.3 2.3a2.8 2.8 0 0 0 4 4L11 13M9 7l2.3-2.3a2.8 2.8 0 0 1 4 4L13 11",
  alert: "M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.3h.01",
  ok: "M4 10.5 8.2 14.5 16 6",
  info: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14M10 9.5v4M10 6.6h.01",
  error: "M7 3h6l4 4v6l-4 4H7l-4-4V7zM10 7v4M10 13.5h.01",
  deny: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14M5 5l10 10",
  pulse: "M2 10h4l2-5 4 10 2-5h4",
  keyboard: "M3 6h14v9H3zM6 9h.01M9 9h.01M12 9h.01M7 12h6",
  theme: "M10 3a7 7 0 1 0 7 7 5.5 5.5 0 0 1-7-7",
  person: "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4 17c.5-3.5 3-5 6-5s5.5 1.5 6 5",
};

/** An icon of the page's own set; it says nothing to a screen reader, its neighbour does. */
export const icon = (name, props) =>
  s("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", ...props },
    s("path", { d: PATHS[name] ?? PATHS.other }));

/** Runs `work` once `wait` ms after the last call. */
export function debounce(work, wait) {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => work(...args), wait); };
}

/** A small message that goes by itself; read out by screen readers. */
export function toast(text) {
  const box = document.getElementById("toasts");
  const note = h("div", { class: "toast" }, text);
  box.append(note);
  setTimeout(() => note.remove(), 6000);
}
