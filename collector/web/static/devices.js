// The Devices tab: the list, and one device.
import { address, ago, attempt, auditedResources, bdi, button, choice, empty, facts, failure, form, get, go, h, hint, keepFresh, measured, minutely, moment, number, options, panel, patch, precise, replace, say, searchField, session, t, table, view, viewAll, withQuery, DAY, HOUR } from "./kit.js"
import { lines } from "./line.js"
import { changesets } from "./changes.js"
import { spanLength, spanLinks, spanText } from "./histogram.js"
import { STATES, deviceUrl, share, shareText, spans, stateMark, stateOf, timeline, transitions } from "./states.js"

const FRESH = { each: 15_000, soon: 1_000, matters: ({ entries }) => entries?.some(entry => entry.object_type === "device") }
const SPANS = ["24h", "7d", "30d"], PAUSES = [1, 8, 24, 168]
const EXAMPLE = '[[devices]]\nname = "Printer"\naddress = "192.168.1.20"\ncheck = "tcp://192.168.1.20:631"'

export function devices(start, { signal }) {
	const id = start.path.split("/")[2], tab = id ? one(decodeURIComponent(id), start) : list(start)
	if (session.whole) keepFresh(tab.load, FRESH, signal); else replace(tab.node, empty(t("mustLogin")))
	return tab
}

// The first few, and how many more.
const some = (all, most) => bdi(all.slice(0, most).join(", ") + (all.length > most ? ` +${all.length - most}` : ""))

function list({ query }) {
	const rows = h(".scroll"), states = h("nav.presets", { label: say("field", "state") })
	const search = searchField(t("findDevice"), { value: query.get("q") ?? "", oninput: event => go(withQuery({ q: event.target.value.trim() }), { replace: true }) })
	let known = null, moved

	function row(device) {
		const own = moved.get(device.id) ?? []
		return [h("a", { href: deviceUrl(device.id) }, bdi(device.display_name)), stateMark(stateOf(device)), timeline(device, own), shareText(share(spans(device, own, Date.now() - DAY))),
			some(device.addresses, 2), some(device.types.map(type => type.replace(/^_|\._(tcp|udp)$/g, "")), 3), moment(device.last_seen, ago)]
	}

	function draw() {
		const wanted = query.get("state"), words = (query.get("q") ?? "").toLowerCase(), counts = Map.groupBy(known, stateOf)
		const tab = (state, text, n) => choice(".preset", withQuery({ state }), state === wanted, text, h("span.count", number(n)))
		replace(states, tab(null, t("all"), known.length), STATES.filter(state => counts.has(state)).map(state => tab(state, say("state", state), counts.get(state).length)))
		const shown = known.filter(device => (!wanted || stateOf(device) === wanted) && JSON.stringify(device).toLowerCase().includes(words))
		const columns = { name: t("name"), state: say("field", "state"), heartbeat: measured(24, "hour"), uptime: t("uptime"), addresses: t("addresses"), types: t("types"), seen: t("lastSeen") }
		replace(rows, !known.length ? empty(t("noDevices"), t("noDevicesText"), EXAMPLE) : shown.length ? table("", columns, shown.map(row)) : empty(t("emptyFeed")))
	}

	return {
		node: view("devices", h(".bar", search, states), rows),
		async load() {
			try {
				const [found, changed] = await Promise.all([get("/devices"), transitions(Date.now() - DAY)])
				known = found.devices.filter(device => !device.forgotten)
				moved = changed
				draw()
			} catch (error) { if (!known) replace(rows, failure(error)); }
		},
		update(route) { ({ query } = route); if (known) draw(); },
	}
}

function one(id, { query }) {
	const node = h(".view.device"), url = deviceUrl(id)
	let found = null

	async function load() {
		try {
			const [detail, moved, resources] = await Promise.all([get(url), transitions(Date.now() - spanLength("30d"), id), auditedResources()])
			const resource = resources.find(each => each.slug === "devices")
			const history = resource ? (await get(address(resource.path, { object_id: id, limit: 10 }))).items : []
			// Nothing is drawn anew under somebody's hands.
			if (node.querySelector("input:focus, select:focus")) return
			found = { ...detail, moved: moved.get(id) ?? [], resource, history }
			draw()
		} catch (error) { replace(node, empty(id, error.message), h("a.button.alone", { href: "/devices" }, t("tab.devices"))); }
	}

	async function change(body) {
		if (await attempt(async () => { await patch(url, body); })) document.activeElement?.blur?.()
		load()
	}

	function draw() {
		const span = SPANS.includes(query.get("span")) ? query.get("span") : SPANS[0], { device, uptime, activity, moved, resource, history } = found
		replace(node, head(device), session.admin ? controls(device, change) : null,
			panel(t("timeline"), h(".segments", spanLinks(span, SPANS)), timeline(device, moved, spanLength(span), ".tall"),
				h(".figures", Object.entries(uptime).map(([name, part]) => h("p", h("b", shareText(part)), h("span.hint", t("uptime"), " · ", spanText(name)))))),
			h(".columns", panel(t("properties"), null, properties(device)),
				panel(t("tab.activity"), viewAll(address("/activity", { object_type: "device", object_id: id })), lines(activity.slice(0, 10)))),
			panel(t("tab.changes"), null, history.length ? changesets(history, resource) : hint(t("emptyFeed"))))
	}

	return { node, load, update(route) { ({ query } = route); if (found) draw(); } }
}

function head(device) {
	const state = stateOf(device), paused = state === "maintenance"
	return h("header.device-head", h("a.back", { href: "/devices" }, t("tab.devices")), h("h1", bdi(device.display_name)), stateMark(state),
		h("span.dim", paused ? ["→ ", minutely(device.maintenance_until)] : ago(device.state_since)), device.present ? null : h("span.mark", t("absent")))
}

function controls(device, change) {
	const input = h("input", { type: "text", maxlength: 200, value: device.display_name, placeholder: device.name, label: t("name") }), label = say("state", "maintenance")
	const pauses = Object.fromEntries(PAUSES.map(hours => ["+" + hours, hours < 24 ? measured(hours, "hour") : measured(hours / 24, "day")]))
	const pause = h("select", { label, onchange: () => change({ maintenance_until: new Date(Date.now() + pause.value * HOUR).toISOString() }) }, options({ "": label + "…", ...pauses }))
	return h(".bar", form(".bar", () => change({ name: input.value.trim() || null }), input, h("button", t("rename"))),
		stateOf(device) === "maintenance" ? button("", () => change({ maintenance_until: null }), t("endMaintenance")) : pause,
		button("", () => change({ ignored: !device.ignored }), t(device.ignored ? "attend" : "ignore")))
}

function properties(device) {
	const { custom_name, name, addresses, check, reason, origin, first_seen, last_seen } = device
	const shown = { advertised: custom_name && name, addresses: addresses.join(", "), check, reason: stateOf(device) !== "online" && reason }
	return [
		facts([...Object.entries(shown).map(([key, text]) => text && [t(key), bdi(text)]), [say("field", "source"), say("source", origin)], [t("firstSeen"), moment(first_seen, precise)], [t("lastSeen"), moment(last_seen, precise)]]),
		device.services.map(({ type, host, port, instance, txt }) => h("details", h("summary", bdi(type), h("span.dim", bdi([host, port].filter(Boolean).join(":")))),
			facts([[t("name"), bdi(instance)], ...Object.entries(txt).map(([key, text]) => [bdi(key), bdi(text)])]))),
	]
}
