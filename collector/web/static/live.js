// One event stream for all tabs of a browser: the tab that holds the lock has it and tells the others.
// Over plain HTTP from another machine browsers have no locks: there each tab has its own.
import { get } from "./api.js"

const RETRY = 1000, BURST = 50
const listeners = new Set()
const channel = new BroadcastChannel("collector")

/** `state`: connecting, live or lost; `last`: the newest seq that was heard. */
export const live = { state: "connecting", last: 0, leading: false }

/** Until the signal, hears `{entries}`, `{state, back}` and `{reset: true}`. */
export function onLive(listener, signal) {
	listeners.add(listener)
	signal?.addEventListener("abort", () => listeners.delete(listener))
}
const tell = message => { for (const listener of [...listeners]) listener(message); }
const share = message => channel.postMessage(message)

/** Calls `load` now, each so many ms while somebody looks, and soon after a message that matters. */
export function keepFresh(load, { each, soon, matters = message => message.entries }, signal) {
	let waiting
	const timer = setInterval(() => { if (!document.hidden) load(); }, each)
	onLive(message => {
		if (message.back || message.reset || matters(message)) waiting ??= setTimeout(() => { waiting = undefined; load(); }, soon)
	}, signal)
	signal.addEventListener("abort", () => { clearInterval(timer); clearTimeout(waiting); })
	load()
}

function setState(state) {
	if (state === live.state) return
	const back = live.state === "lost" && state === "live"
	live.state = state
	tell({ state, back })
	if (live.leading) share({ state })
}

function setLast(last) {
	live.last = last
	tell({ reset: true })
}

function heard(entries) {
	const fresh = entries.filter(entry => entry.seq > live.last)
	if (!fresh.length) return
	live.last = fresh.at(-1).seq
	tell({ entries: fresh })
}

let source, pending = []

// A burst becomes one message, not one a line.
function receive(entry) {
	if (pending.push(entry) > 1) return
	setTimeout(() => {
		const entries = pending
		pending = []
		share({ entries })
		heard(entries)
	}, BURST)
}

function connect() {
	source?.close()
	source = new EventSource(`/api/v1/events/stream?after_seq=${live.last}`)
	source.onopen = () => setState("live")
	source.addEventListener("activity_logged", event => receive(JSON.parse(event.data)))
	source.addEventListener("reset", event => {
		const last = JSON.parse(event.data).last_seq
		share({ reset: last })
		setLast(last)
	})
	source.onerror = () => {
		source.close()
		setState("lost")
		setTimeout(connect, RETRY)
	}
}

function lead() { live.leading = true; connect(); }

async function followed({ data }) {
	if (live.leading) { if (data.hello) share({ state: live.state }); return; }
	if (data.state) setState(data.state)
	if (data.reset !== undefined) setLast(data.reset)
	// A tab that slept has missed some.
	if (data.state === "live" || data.entries?.[0].seq > live.last + 1) await catchUp()
	if (data.entries) heard(data.entries)
}

let catching
function catchUp() {
	catching ??= (async () => {
		try {
			for (let more = live.last > 0; more;) {
				const page = await get(`/events?after_seq=${live.last}&limit=200`)
				heard(page.entries)
				more = page.has_more && page.entries.length > 0
			}
		} catch { /* the next message tries again */ } finally { catching = undefined; }
	})()
	return catching
}

/** Starts after `last`; once for a page. */
export function startLive(last) {
	live.last = last
	channel.onmessage = followed
	share({ hello: true })
	if (navigator.locks) navigator.locks.request("collector.feed", () => { lead(); return new Promise(() => {}); })
	else lead()
	addEventListener("pageshow", event => { if (event.persisted) catchUp(); })
}
