// The Settings tab: what the role may do.
import { attempt, bytes, button, dayMonth, debounce, del, exportUrl, facts, field, form, get, h, hint, into, lang, number, options, panel, plain, post, put, replace, say, session, speak, t, view, wordsOf, DAY, LANGUAGES } from "./kit.js"
import { forApi } from "./filters.js"
import { chosenChips } from "./chips.js"
import { columns } from "./histogram.js"
import { keysPanel } from "./keys.js"

const MIB = 1 << 20, GROWTH_DAYS = 30, WEEK = 7, SOME = 1000, PREVIEW_WAIT = 400

export function settings({ query }, { restart }) {
	const storage = h(""), retention = h(""), exported = h(""), update = now => replace(exported, exporting(now.query))
	update({ query })
	if (session.whole) { drawStorage(storage); drawRetention(retention, () => drawStorage(storage)); }
	return { node: view("settings", h(".columns.even", h("div", appearance(restart), storage, session.admin && keysPanel()), h("div", retention, exported, session.admin && clearing()))), update }
}

function appearance(restart) {
	const root = document.documentElement, pick = (id, values, chosen, work) => field(t(id), h("select", { id, onchange: event => work(event.target.value) }, options(values, chosen)))
	const themes = Object.fromEntries(wordsOf("theme").map(name => [name, say("theme", name)]))
	return panel(t("appearance"), null, h(".fields",
		pick("language", LANGUAGES, lang(), async code => { await speak(code); restart(); document.getElementById("language")?.focus(); }),
		pick("theme", themes, root.dataset.theme ?? "system", chosen => {
			if (chosen === "system") delete root.dataset.theme; else root.dataset.theme = chosen
			try { localStorage.setItem("collector.theme", chosen); } catch { /* for this visit */ }
		})))
}

const drawStorage = place => into(place, async () => {
		const days = Array.from({ length: GROWTH_DAYS + 1 }, (_, at) => new Date(Date.now() - (GROWTH_DAYS - at) * DAY).toISOString().slice(0, 10))
		const [{ journal, database, removed }, { counts }] = await Promise.all([get("/status"), get(`/stats?by=severity&bucket=day&since=${days[0]}`)])
		const added = days.map(day => counts.reduce((all, { bucket, count }) => bucket?.startsWith(day) ? all + count : all, 0))
		const held = journal.entries ?? 0, size = journal.bytes / held, mean = added.slice(-WEEK - 1, -1).reduce((all, n) => all + n, 0) / WEEK
		return panel(t("storage"), null, facts([
			[t("used"), bytes(journal.bytes)], [t("entriesKept"), number(held)], [t("journal"), h("code", plain(database))]]),
		h("h3", t("growth")), h(".growth", { role: "img", label: t("growth") }, columns(days.map((day, at) => [["info", added[at], `${dayMonth(day)} · ${number(added[at])}`]]), 40)), held > SOME && mean ? hint(t("grows", { size: bytes(mean * size) })) : null, Object.keys(removed).length > 0 && [h("h3", t("removed")), facts(Object.entries(removed).map(([cause, { count, last_at }]) => [say("removal", cause), `${number(count)} · ${dayMonth(last_at)}`]))])
})

const drawRetention = (place, changed, saved) => into(place, async () => {
	const found = saved ?? await get("/settings/retention")
	const input = (id, value, max, more) => h("input", { type: "number", id, min: 0, max, step: 1, value: String(value), disabled: !session.admin, ...more })
	const enabled = h("input", { type: "checkbox", checked: found.enabled, disabled: !session.admin }), mib = Math.round(found.max_bytes / MIB)
	const days = input("max-days", found.max_days, 3650), entries = input("max-entries", found.max_entries, 100_000_000), size = input("max-bytes", mib, 1 << 30)
	const own = [...new Set([...wordsOf("category"), ...Object.keys(found.categories)])].map(name => [name, input(`days-${name}`, found.categories[name]?.max_days ?? "", 3650, { placeholder: found.max_days })])
	const preview = h("p.preview", { role: "status" })
	const wanted = () => ({
		enabled: enabled.checked, max_days: Number(days.value), max_entries: Number(entries.value),
		// Untouched, the exact number of bytes stays what it was.
		max_bytes: Number(size.value) === mib ? found.max_bytes : Number(size.value) * MIB,
		categories: Object.fromEntries(own.filter(([, { value }]) => value !== "").map(([name, { value }]) => [name, { max_days: Number(value) }])),
	})
	const look = debounce(async () => {
		if (!node.checkValidity()) return
		const { enabled: on, categories, ...limits } = wanted()
		try {
			const { count: n } = await post("/settings/retention/preview", wanted())
			preview.classList.toggle("warns", n > 0)
			preview.textContent = t("wouldRemove", { n })
		} catch (error) { replace(preview, failure(error)); }
	}, PREVIEW_WAIT)
	const change = work => attempt(async () => { await drawRetention(place, changed, await work()); changed(); })
	const node = form("", () => change(() => put("/settings/retention", wanted())),
		h("label.check", enabled, t("enabled")), h(".fields", field(t("maxDays"), days), field(t("entriesKept"), entries), field(t("maxBytes"), size)),
		h("h3", t("maxDays"), " · ", say("field", "category")), h(".fields", own.map(([name, each]) => field(say("category", name), each))),
		session.admin ? [preview, h(".buttons", h("button.strong", t("save")), found.override && button(".quiet", () => change(() => del("/settings/retention")), t("useFile")))] : hint(t("mustLogin")))
	node.addEventListener("input", look)
	return panel(t("retention"), null, hint(t("retentionHint"), found.override && ` ${t("overridden")}`), node)
})

function exporting(query) {
	const link = format => h("a.button", { href: exportUrl(new URLSearchParams([["format", format], ...forApi(query)])), download: `events.${format}` }, format.toUpperCase())
	return panel(t("exportTitle"), null, h(".chosen-chips", chosenChips(query)), session.exporter ? h(".buttons", ["csv", "json", "ndjson"].map(link)) : hint(t("mustLogin")))
}

function clearing() {
	const word = t("clearWord"), go = h("button.danger", { disabled: true }, t("clearDo"))
	const input = h("input", { type: "text", id: "clear-word", autocomplete: "off", oninput: () => { go.disabled = input.value.trim().toLowerCase() !== word; } })
	const clear = async () => {
		if (go.disabled) return
		go.disabled = true
		await attempt(async () => t("cleared", { n: (await del("/events?confirm=clear")).count }))
		input.value = ""
	}
	return panel(t("clearTitle"), null, hint(t("clearHint")), form("", clear, field(t("clearType", { word }), input), h(".buttons", go)))
}
