// The pieces that tabs are built of.
import { h, icon, replace } from "./dom.js"
import { t } from "./i18n.js"
import { exact } from "./format.js"

/** Not a form's: `button(".quiet", work, { title }, text)`. */
export const button = (kind, work, ...content) => {
	const more = content[0]?.constructor === Object ? content.shift() : {}
	return h("button" + kind, { type: "button", onclick: work, ...more }, content)
}
/** One link of several; `on`: it is the chosen one. */
export const choice = (kind, href, on, ...content) => h("a" + kind, { href, "aria-current": on && "true" }, content)
export const viewAll = href => h("a", { href }, t("viewAll"), icon("right"))

export const view = (name, ...content) => h(`.view.${name}`, h("h1.unseen", t("tab." + name)), content)
/** A titled section; `more` stands at the end of its head. */
export const panel = (title, more, ...content) => h("section.panel", h("header", h("h2", title), more), content)
export const hint = (...content) => h("p.hint", content)
/** What went wrong, for people. */
export const failure = error => hint(t("failed", { why: error.message }))
/** Shows what `make` comes to, or why it did not. */
export const into = async (place, make) => { try { replace(place, await make()); } catch (error) { replace(place, failure(error)); } }
/** Nothing yet: what that means, and the next step. */
export const empty = (title, text, code) => h(".empty", h("h2", title), text && h("p", text), code && h("pre", code))
export const nothingYet = () => empty(t("emptyJournal"), t("emptyJournalHint"), "collector emit hello.said -m 'Hello'")

export const field = (label, input) => h(".field", h("label", { for: input.id }, label), input)
export const options = (values, chosen) => Object.entries(values).map(([value, text]) => h("option", { value, selected: value === chosen }, text))
export const searchField = (label, props) => h(".search", icon("search"), h("input", { type: "search", placeholder: label, label, maxlength: 400, autocomplete: "off", spellcheck: "false", ...props }))
/** `[[term, meaning]]`, without those that are null. */
export const facts = rows => h("dl.facts", rows.filter(Boolean).map(([name, each]) => h("div", h("dt", name), h("dd", each))))
/** `columns` maps a class to a title; a row is its cells, the first a heading. */
export const table = (kind, columns, rows) => h("table.table" + kind,
	h("thead", h("tr", Object.entries(columns).map(([name, title]) => h(`th.col-${name}`, { scope: "col" }, title)))),
	h("tbody", rows.map(cells => h("tr", Object.keys(columns).map((name, at) => h((at ? "td" : "th") + `.col-${name}`, { scope: at ? null : "row" }, cells[at]))))))
/** A moment told by `text`; the exact one on hover. */
export const moment = (at, text, kind = "") => at ? h("time" + kind, { datetime: at, title: exact(at) }, text(at)) : "–"

/** Opens a dialog; `make` gets its `close` and returns its content. */
export function dialog(label, make) {
	const node = h("dialog", { label, onclose: () => node.remove() })
	node.append(...[make(() => node.close())].flat())
	document.body.append(node)
	node.showModal()
}

/** A form whose submission is `work`. */
export const form = (kind, work, ...content) => h("form" + kind, { onsubmit: event => { event.preventDefault(); work(event); } }, content)

export function toast(text) {
	const note = h(".toast", text)
	document.getElementById("toasts").append(note)
	setTimeout(() => note.remove(), 6000)
}

/** Does what can be refused and says how it went (`work` may return the words); true where it was done. */
export async function attempt(work) {
	try { toast(await work() ?? t("saved")); return true; } catch (error) { toast(t("failed", { why: error.message })); return false; }
}

export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text)
	} catch {
		// Over plain HTTP there is no clipboard.
		const area = h("textarea.unseen", text)
		document.body.append(area)
		area.select()
		document.execCommand("copy")
		area.remove()
	}
	toast(t("copied"))
}
