// Building the page. Text is always set as text: nothing here, or anywhere, parses markup.

const make = create => (spec, ...content) => {
	const [tag, ...classes] = spec.split("."), node = create(tag || "div")
	if (classes.length) node.setAttribute("class", classes.join(" "))
	if (content[0]?.constructor === Object) set(node, content.shift())
	node.append(...shown(content))
	return node
}

/** An element: `h("a.chip", { href }, text, …)`, without a tag a `div`. Properties that are functions listen
    (`onclick`), `css` goes through the CSSOM; null and false leave a property or child out. */
export const h = make(tag => document.createElement(tag))
export const s = make(tag => document.createElementNS("http://www.w3.org/2000/svg", tag))

function set(node, props) {
	for (const [name, value] of Object.entries(props)) {
		if (value === undefined || value === null || value === false) continue
		if (typeof value === "function") node.addEventListener(name.slice(2), value)
		else if (name === "css") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each)
		else if (name === "value") node.value = value
		else node.setAttribute(name === "label" ? "aria-label" : name, value === true ? "" : value)
	}
}

const shown = content => content.flat(Infinity).filter(child => child !== undefined && child !== null && child !== false)
export const replace = (node, ...content) => { node.replaceChildren(...shown(content)); return node; }

// Control, format and separator characters are shown, never obeyed, but for the joiners that Persian and
// emoji need: the command line's rule.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u200c": "\u200c", "\u200d": "\u200d" }
const hex = (code, width) => code.toString(16).padStart(width, "0")
const escaped = code => code < 0x100 ? "\\x" + hex(code, 2) : code < 0x10000 ? "\\u" + hex(code, 4) : "\\U" + hex(code, 8)

/** A stranger's text on one line, the unseen made visible. */
export const plain = text => String(text).replace(UNSEEN, each => NAMED[each] ?? escaped(each.codePointAt(0)))
/** The same with line breaks and tabs, as JSON has them. */
export const plainLines = text => String(text).split(/([\n\t])/).map((part, at) => at % 2 ? part : plain(part)).join("")
/** The same as an element that keeps its direction of writing to itself. */
export const bdi = (text, kind = "") => h("bdi" + kind, plain(text))

const CIRCLE = "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14"
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
	up: "M5 12l5-5 5 5",
	right: "M8 5l5 5-5 5",
	alert: "M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.3h.01",
	ok: "M4 10.5 8.2 14.5 16 6",
	info: CIRCLE + "M10 9.5v4M10 6.6h.01",
	error: "M7 3h6l4 4v6l-4 4H7l-4-4V7zM10 7v4M10 13.5h.01",
	deny: CIRCLE + "M5 5l10 10",
	pulse: "M2 10h4l2-5 4 10 2-5h4",
	person: "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4 17c.5-3.5 3-5 6-5s5.5 1.5 6 5",
}

/** An icon; screen readers are told by its neighbour. */
export const icon = (name, kind = "") => s("svg.icon" + kind, { viewBox: "0 0 20 20", "aria-hidden": "true" }, s("path", { d: PATHS[name] ?? PATHS.other }))

export function debounce(work, wait) {
	let timer
	return (...args) => { clearTimeout(timer); timer = setTimeout(() => work(...args), wait); }
}
