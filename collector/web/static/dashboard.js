// The dashboard: what needs attention, today, the latest, the devices.
import { address, ago, bdi, empty, failure, get, h, icon, keepFresh, measured, midnight, moment, nothingYet, number, onLive, panel, replace, say, session, t, view, viewAll, DAY } from "./kit.js"
import { lines, relink } from "./line.js"
import { BAD, deviceUrl, sorted, stateMark, stateOf, timeline, transitions } from "./states.js"

const LATEST = 5, CARDS = 12, ALERTS = 8, ROWS = 6, FRESH = { each: 30_000, soon: 1_500 }
const ICONS = { offline: "error", flapping: "pulse", suspect: "alert" }

export function dashboard(start, { signal }) {
	const attention = h("section.attention"), today = h(".today"), recent = h(".recent"), devices = h("")
	const node = view("dashboard", attention, h(".columns", recent, today), devices)
	let latest = []

	async function load() {
		const since = new Date(midnight(Date.now())).toISOString(), stats = by => get(`/stats?by=${by}&since=${since}`, signal).then(tally)
		try {
			const [page, category, outcome, severity, known, status, moved] = await Promise.all([
				get(`/events?limit=${LATEST}`, signal), stats("category"), stats("outcome"), stats("severity"),
				...session.whole ? [get("/devices", signal), get("/status", signal), transitions(Date.now() - DAY)] : [{ devices: [] }, {}, new Map()]])
			latest = page.entries
			drawLatest()
			replace(today, todayPanel({ category, outcome }))
			drawAttention(attention, alerts(known.devices, outcome, severity, status), known.devices.length)
			replace(devices, session.whole && devicesPanel(sorted(known.devices), moved))
		} catch (error) { if (!latest.length) replace(attention, failure(error)); }
	}
	const drawLatest = () => replace(recent, panel(t("recent"), viewAll("/activity"), latest.length ? lines(latest) : nothingYet()))

	onLive(({ entries }) => {
		if (!entries) return
		latest = [...entries.slice(-LATEST).reverse(), ...latest].slice(0, LATEST)
		drawLatest()
	}, signal)
	drawLatest()
	keepFresh(load, FRESH, signal)
	return { node, update: () => relink(recent) }
}

const tally = ({ counts }) => counts.reduce((all, { value, count }) => value === null ? all : all.set(value, (all.get(value) ?? 0) + count), new Map())
const sum = found => [...found.values()].reduce((all, n) => all + n, 0)

function todayPanel(groups) {
	const total = sum(groups.category), link = h("a.figure", { href: "/activity?since=today" }, number(total), h("span.unseen", " ", t("entriesKept")))
	return panel(t("today"), link, Object.entries(groups).map(([group, found]) => [h("h3", say("field", group)), bars(group, found)]))
}

function bars(group, found) {
	const most = Math.max(1, ...found.values())
	return h("ul.counts", [...found].sort((a, b) => b[1] - a[1]).slice(0, ROWS).map(([value, n]) => h("li", h("a", { href: address("/activity", { since: "today", [group]: value }) },
		h("span.name", say(group, value)), h("span", { class: `bar-of cat-${value} is-${value}`, css: { width: `${Math.max(1, n / most * 100)}%` } }), h("span.count", number(n))))))
}

/** What needs attention, the worst first: `[kind, icon, text, href, more]`. */
function alerts(devices, outcome, severity, { state = "recording", error, journal, lost = {} }) {
	const found = [], gone = Object.values(lost).reduce((all, n) => all + (Number.isFinite(n) ? n : 0), 0)
	const add = (when, ...alert) => { if (when) found.push(alert); }
	add(state !== "recording", "bad", "error", t("notRecording"), null, error && bdi(error))
	add(journal?.full, "bad", "error", t("own.storage.full"), "/settings")
	add(journal?.held, "warn", "alert", t("own.journal.held", { reader: journal?.held?.by }), "/activity?action=journal.held")
	add(gone, "bad", "alert", t("own.events.lost", { count: t("entries", { n: gone }) }), "/activity?action=events.lost")
	add(devices.some(device => device.unobservable), "warn", "alert", t("own.network.unobservable"), "/activity?action=network.unobservable")
	const bad = sorted(devices).filter(device => BAD.includes(stateOf(device)))
	for (const device of bad.slice(0, ALERTS)) {
		const state = stateOf(device)
		add(true, state === "offline" ? "bad" : "warn", ICONS[state], bdi(device.display_name, ".name"), deviceUrl(device.id), [say("state", state), " · ", ago(device.state_since)])
	}
	add(bad.length > ALERTS, "warn", "device", `+ ${number(bad.length - ALERTS)}`, "/devices")
	const errors = severity.get("error"), missed = (outcome.get("failure") ?? 0) + (outcome.get("denied") ?? 0)
	add(errors, "warn", "error", t("errorsToday", { n: errors }), "/activity?since=today&severity=error")
	add(missed, "note", "deny", t("failuresToday", { n: missed }), "/activity?since=today&outcome=failure&outcome=denied")
	return found
}

function drawAttention(place, found, known) {
	const shown = ([kind, symbol, text, href, more]) => h("li", h((href ? "a" : "div") + `.alert.alert-${kind}`, { href }, icon(symbol), h("span", text), more && h("span.hint", more), href && icon("right")))
	replace(place, h(found.length ? "h2" : "h2.unseen", t("attention")), found.length ? h("ul.alerts", found.map(shown))
		: h(".calm", icon("ok"), h("p", h("strong", t("calm")), known ? t("calmHint", { n: known }) : t("noDevices"))))
}

const devicesPanel = (devices, moved) => panel(t("tab.devices"), [h("span.dim", measured(24, "hour")), viewAll("/devices")], devices.length ? h("ul.cards", devices.slice(0, CARDS).map(device => h("li", h("a.card", { href: deviceUrl(device.id) },
	h("span.ends", bdi(device.display_name, ".name"), stateMark(stateOf(device))), timeline(device, moved.get(device.id) ?? []),
	h("span.ends.hint", bdi(device.addresses[0] ?? ""), moment(device.last_seen, ago)))))) : empty(t("noDevices"), t("noDevicesText")))
