// States of devices, and how they went over time.
import { get, h, icon, percent, s, say, short, t, DAY } from "./kit.js"

const ICONS = { online: "ok", offline: "close", suspect: "alert", flapping: "pulse", ignored: "deny" }
const PAGES = 5, WIDTH = 1000
export const STATES = ["offline", "flapping", "suspect", "unobservable", "online", "unknown", "maintenance", "ignored"]
export const BAD = STATES.slice(0, 3)

/** What somebody set stands above what was found. */
export function stateOf(device) {
	if (device.ignored) return "ignored"
	if (device.maintenance_until && Date.parse(device.maintenance_until) > Date.now()) return "maintenance"
	return device.unobservable ? "unobservable" : device.flapping ? "flapping" : device.state
}
export const sorted = devices => devices.map(device => [STATES.indexOf(stateOf(device)), device])
	.sort(([a, one], [b, other]) => a - b || one.display_name.localeCompare(other.display_name)).map(([, device]) => device)

export const stateMark = state => h(`span.state.state-${state}`, icon(ICONS[state] ?? "info"), say("state", state))
export const deviceUrl = id => `/devices/${encodeURIComponent(id)}`

/** Changes of state by device, oldest first; of one device where it is named. */
export async function transitions(since, id) {
	const found = new Map()
	let before = ""
	for (let page = 0; page < PAGES; page += 1) {
		const asked = new URLSearchParams({ action: "device.health_changed", since: new Date(since).toISOString(), limit: 200, ...(id && { object_id: id }), ...(before && { before_seq: before }) })
		const { entries, has_more, next_before_seq } = await get(`/events?${asked}`)
		for (const { object_id, occurred_at, metadata: { from, to } } of entries) {
			if (!found.has(object_id)) found.set(object_id, [])
			found.get(object_id).push({ at: Date.parse(occurred_at), from: String(from), to: String(to) })
		}
		if (!has_more) break
		before = next_before_seq
	}
	for (const each of found.values()) each.sort((a, b) => a.at - b.at)
	return found
}

/** `[start, end, state]`s; null before anything was known. */
export function spans(device, changes, start, end = Date.now()) {
	const first = Date.parse(device.first_seen), seen = Math.min(first, changes[0]?.at ?? first), found = []
	let at = start, state = changes.length ? changes[0].from : Date.parse(device.state_since) <= start ? device.state : device.reported ?? device.state
	const until = (moment, now) => { if (moment > at) { found.push([at, Math.min(moment, end), now]); at = Math.min(moment, end); } }
	until(seen, null)
	for (const change of changes) { until(change.at, state); state = change.to; }
	until(end, state)
	return found
}

/** The share of known time that was up. */
export function share(found) {
	const lasted = (...states) => found.reduce((all, [from, to, state]) => states.includes(state) ? all + to - from : all, 0)
	const up = lasted("online", "suspect"), known = up + lasted("offline")
	return known ? up / known : null
}
export const shareText = part => part === null ? "–" : percent(part)

/** A device's states over the last `length` ms. */
export function timeline(device, changes, length = DAY, kind = "") {
	const end = Date.now(), start = end - length, found = spans(device, changes.filter(each => each.at >= start), start, end), part = share(found)
	const text = `${device.display_name}: ${t("uptime")} ${shareText(part)}`
	return h(".heartbeat" + kind, { role: "img", label: text, title: text }, s("svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none" }, found.map(([from, to, state]) => {
		const flat = state === null || state === "unknown", offline = state === "offline", x = (from - start) / length * WIDTH
		// A short outage is still to be seen.
		const width = Math.max(offline || state === "suspect" ? 6 : 0, (to - from) / length * WIDTH)
		return s(`rect.beat-${state}`, { x: Math.min(x, WIDTH - width), width, y: offline ? 0 : flat ? 4 : 2, height: offline ? 10 : flat ? 2 : 6 },
			s("title", `${say("state", state ?? "unknown")} · ${short(from)} – ${short(to)}`))
	})))
}
