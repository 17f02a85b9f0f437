// An entry as one line: category, sentence, what stands out, and when.
import { h, icon } from "./dom.js"
import { say } from "./i18n.js"
import { ago, clock, exact, midnight, short, DAY } from "./format.js"
import { sentence } from "./sentence.js"
import { withQuery } from "./router.js"

const CATEGORIES = new Set(["device", "entity", "auth", "capture", "system"])
const OUTCOMES = { failure: "error", denied: "deny", unknown: "info" }, SEVERITIES = { error: "error", warning: "alert" }

/** A small mark with an icon and a word: never colour alone. */
const mark = (kind, name, text) => h(`span.mark.is-${kind}`, icon(name), text)
/** What stands out: an outcome that is not success, else the severity. */
export const marks = ({ outcome, severity }) => outcome in OUTCOMES ? mark(outcome, OUTCOMES[outcome], say("outcome", outcome))
	: severity in SEVERITIES ? mark(severity, SEVERITIES[severity], say("severity", severity)) : null

export function categoryIcon(category) {
	const kind = CATEGORIES.has(category) ? category : "other"
	return h(`span.cat.cat-${kind}`, { title: say("category", category) }, icon(kind), h("span.unseen", say("category", category) + ": "))
}

// How long ago, for a day; then under the heading of its day the time alone.
const aged = (moment, day) => Date.now() - Date.parse(moment) < DAY ? ago(moment) : midnight(moment) === day ? clock(moment) : short(moment)
/** A moment that ages by itself. */
export const when = (moment, day) => h("time.when", { datetime: moment, title: exact(moment), "data-day": day }, aged(moment, day))
setInterval(() => {
	for (const node of document.querySelectorAll("time.when")) node.textContent = aged(node.dateTime, Number(node.dataset.day))
}, 20e3)

/** An entry's line, under the heading of a `day`. */
export const line = (entry, { day, inside } = {}) => h("a.line" + (inside ? ".inside" : ""), { href: withQuery({ entry: entry.seq }), "data-seq": entry.seq },
	categoryIcon(entry.category), h("span.said", sentence(entry)), h("span.marks", marks(entry)), when(entry.occurred_at, day))
export const lines = (entries, here) => h("ol.lines", entries.map(entry => h("li", { class: entry.seq === here ? "here" : null }, line(entry))))
/** Lets lines open over the address as it now is. */
export const relink = node => { for (const link of node.querySelectorAll("a.line")) link.setAttribute("href", withQuery({ entry: link.dataset.seq })); }
