// Filters as chips: one a dimension, which opens its values, and one a chosen value, which takes it away.
import { bdi, button, failure, form, get, go, h, hint, icon, minutely, number, plain, replace, route, say, t, withQuery, wordsOf } from "./kit.js"
import { DIMENSIONS, OTHERS, forApi, momentOf } from "./filters.js"

// Their values are words of the catalogue, not strangers' text.
const CLOSED = ["category", "outcome", "severity", "source"]
const valueText = (name, value) => CLOSED.includes(name) ? say(name, value) : plain(value)
const valuesOf = (query, name) => query.getAll(name).filter(Boolean)

export function chosenChips(query) {
	const values = [...DIMENSIONS, ...OTHERS].flatMap(name => valuesOf(query, name).map(value => removable(query, name, value, valueText(name, value))))
	const times = ["since", "until"].flatMap(name => valuesOf(query, name).map(value => {
		const moment = momentOf(value)
		return removable(query, name, value, value === "today" ? t("today") : moment === null ? plain(value) : minutely(moment))
	}))
	return [...values, ...times]
}

const removable = (query, name, value, text) => h("a.chip.chosen-chip", {
	href: withQuery({ [name]: query.getAll(name).filter(each => each !== value), entry: null }),
	label: t("remove", { name: `${say("field", name)} ${text}` }),
}, h("span", say("field", name)), h("bdi", text), icon("close"))

export function facetButton(name, query) {
	const n = valuesOf(query, name).length
	return button(".chip" + (n ? ".used" : ""), event => openFacet(event.currentTarget, name),
		{ "aria-expanded": "false", "aria-haspopup": "dialog" },
		say("field", name), n ? h("span.count", number(n)) : null, icon("down"))
}

let opened
/** Closes what is open; true where something was. */
export function closeFacet() {
	if (!opened) return false
	const { opener, box, away } = opened
	opened = undefined
	away.abort()
	box.remove()
	opener.setAttribute("aria-expanded", "false")
	if (opener.isConnected) opener.focus()
	return true
}

async function openFacet(opener, name) {
	const again = opened?.opener === opener
	closeFacet()
	if (again) return
	const { query } = route(), chosen = query.getAll(name), label = t(CLOSED.includes(name) ? "search" : "otherValue")
	const rows = h(".facet-values", hint(t("loading"))), input = h("input", { type: "text", placeholder: label, label, maxlength: 200 })
	const typed = () => { if (!CLOSED.includes(name) && input.value.trim()) choose(name, input.value.trim(), true); }
	const box = h(".popover", { role: "dialog", label: say("field", name) }, form("", typed, input), rows)
	const away = new AbortController()
	opened = { opener, box, away }
	addEventListener("pointerdown", event => { if (!box.contains(event.target) && !opener.contains(event.target)) closeFacet(); }, { capture: true, signal: away.signal })
	opener.setAttribute("aria-expanded", "true")
	opener.after(box)
	const over = box.getBoundingClientRect().right - document.documentElement.clientWidth + 8
	if (over > 0) box.style.setProperty("margin-left", `-${over}px`)
	input.focus()
	const { values, problem } = await valuesThatOccur(query, name, away.signal)
	for (const value of chosen) if (!values.some(each => each.value === value)) values.unshift({ value })
	const draw = () => {
		const wanted = input.value.trim().toLowerCase()
		const shown = values.filter(({ value }) => `${value} ${valueText(name, value)}`.toLowerCase().includes(wanted)).slice(0, 100)
		replace(rows, problem, shown.map(({ value, count }) => h("label.facet-value",
			h("input", { type: "checkbox", checked: chosen.includes(value), onchange: event => choose(name, value, event.target.checked) }),
			bdi(valueText(name, value)), h("span.count", count >= 0 ? number(count) : ""))), shown.length || problem ? null : hint(t("emptyFeed")))
	}
	input.addEventListener("input", draw)
	draw()
}

// Where counting takes too long, the catalogue's words and what is typed remain.
async function valuesThatOccur(query, name, signal) {
	try {
		return { values: (await get(`/events/facets?${forApi(query, name)}`, signal))[name] ?? [] }
	} catch (error) {
		return { values: CLOSED.includes(name) ? wordsOf(name).map(value => ({ value })) : [], problem: failure(error) }
	}
}

function choose(name, value, on) {
	const others = route().query.getAll(name).filter(each => each !== value)
	closeFacet()
	go(withQuery({ [name]: on ? [...others, value] : others, entry: null }))
}
