// The shell: tabs, the view that is open, the drawer, banner, keyboard, session.
import { bdi, button, del, dialog, get, go, h, icon, live, load, onLive, onRoute, plain, replace, route, session, speak, startLive, t, wordsOf } from "./kit.js"
import { loginDialog, loginForm } from "./login.js"
import { called } from "./sentence.js"
import { closeFacet } from "./chips.js"
import { Drawer } from "./drawer.js"

// A tab's icon and its letter after `g`. Its module's function of its name makes the view, of a route and
// `{signal, restart}`; the signal ends it.
const TABS = { dashboard: ["pulse", "d"], activity: ["search", "a"], devices: ["device", "v"], changes: ["entity", "c"], settings: ["system", "s"] }
const ENTRY = /^([1-9]\d{0,15}|[0-9a-fA-F-]{36})$/, LEAP = 1000, WATCH = 3000
const urlOf = tab => tab === "dashboard" ? "/" : "/" + tab
const tabOf = path => Object.keys(TABS).find(tab => tab === (path.split("/")[1] || "dashboard"))

let view = null, place = null, searching = false, leave = new AbortController(), drawer, main, banner

async function show(now) {
	const tab = tabOf(now.path), wanted = tab === "devices" ? now.path : tab
	for (const link of document.querySelectorAll(".tabs a")) link.setAttribute("aria-current", link.pathname === urlOf(tab) ? "page" : "false")
	if (!tab) { end(); replace(main, h(".empty", h("h1", t("notFound")), h("a.button", { href: "/" }, t("tab.dashboard")))); return; }
	if (wanted !== place) {
		const { signal } = end()
		place = wanted
		const module = await load(tab)
		if (signal.aborted) return
		view = module[tab](route(), { signal, restart: build })
		replace(main, view.node)
		scrollTo({ top: 0 })
		if (searching) view.keys["/"]()
		searching = false
		document.title = `${t("tab." + tab)} · collector`
	} else view?.update?.(now)
	const entry = now.query.get("entry")
	if (ENTRY.test(entry)) drawer.show(entry); else drawer.hide()
}

/** Ends the view; the next one's controller. */
function end() {
	leave.abort()
	view = place = null
	return leave = new AbortController()
}

/** Draws all anew: at first, in another language, for another role. */
function build() {
	end()
	drawer?.node.remove()
	banner = h(".banner", { role: "status", hidden: true })
	main = h("main", { id: "main", tabindex: -1 })
	const tab = ([name, [symbol]]) => h("a", { href: urlOf(name) }, icon(symbol), h("span", t("tab." + name)))
	document.body.replaceChildren(h("a.skip", { href: "#main" }, t("skip")),
		h("header.top", h("a.brand", { href: "/" }, h("img", { src: "/static/icon.svg", alt: "", width: 20, height: 20 }), h("span", "collector")),
			h("nav.tabs", { label: "collector" }, Object.entries(TABS).map(tab)),
			h(".corner", h("span", { id: "pulse" }), button(".help", help, { label: t("shortcuts"), title: `${t("shortcuts")} (?)` }, "?"), person())),
		banner, main, h("", { id: "toasts", role: "status", "aria-live": "polite" }))
	drawer = new Drawer()
	drawState()
	if (session.reader) show(route()); else replace(main, h(".door", h("p.hint", t(session.role === "producer" ? "producerOnly" : "mustLogin")), loginForm()))
}

function person() {
	if (!session.known) return button(".quiet", loginDialog, icon("person"), h("span", t("login")))
	const leave = async () => { await del("/session").catch(() => {}); location.reload(); }
	return button(".quiet", leave, icon("person"), h("span", bdi(called(session.actor) ?? ""), " · ", t("logout")))
}

function drawState() {
	const lost = live.state === "lost", pulse = document.getElementById("pulse")
	pulse.className = `pulse pulse-${live.state}`
	replace(pulse, h("span.dot"), lost ? t("state.offline") : t(live.state === "live" ? "live" : "loading"))
	banner.hidden = !lost
	replace(banner, icon("alert"), t("lost"))
}

function help() {
	const keys = [["/", t("search")], ...wordsOf("press").map(key => [key, t("press." + key)]), ["Esc", t("close")], ...Object.entries(TABS).map(([name, [, letter]]) => [`g ${letter}`, t("tab." + name)])]
	dialog(t("shortcuts"), close => [h("h2", t("shortcuts")), h("dl.keys-list", keys.map(([key, text]) => h("div", h("dt", key.split(" ").map(each => h("kbd", each))), h("dd", text)))), h(".buttons", button("", close, t("close")))])
}

let leap = 0
addEventListener("keydown", event => {
	const { key, target } = event, typing = target.matches?.("input,select,textarea")
	if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]") || !session.reader) return
	if (key === "Escape") {
		if (!closeFacet()) { if (drawer.open && !typing) drawer.close(); else view?.keys?.Escape(); }
		return
	}
	if (typing) return
	const leaping = Date.now() - leap < LEAP && Object.keys(TABS).find(tab => TABS[tab][1] === key)
	leap = key === "g" ? Date.now() : 0
	if (leaping) go(urlOf(leaping))
	else if (key === "?") help()
	else if (view?.keys?.[key]) view.keys[key]()
	else if (key === "/") { searching = true; go("/activity"); }
	else return
	event.preventDefault()
})

// While the stream is away, and when it is back: is this still who it was?
async function watch() {
	const { known, role } = session
	await session.refresh().catch(() => {})
	if (session.known !== known || session.role !== role) build()
	if (live.state === "lost" && session.reader) setTimeout(watch, WATCH)
}

async function begin() {
	await speak()
	for (;;) {
		try { await session.refresh(); break; } catch (problem) {
			if (problem.status) { replace(document.body, h("p.door", plain(problem.message))); return; }
			await new Promise(on => setTimeout(on, LEAP))
		}
	}
	onRoute(show)
	onLive(({ state, back }) => {
		if (state) drawState()
		// A restarted daemon has forgotten logins.
		if (state === "lost" || back) watch()
	})
	const newest = session.reader && await get("/events?limit=1").catch(() => ({ entries: [] }))
	build()
	if (newest) startLive(newest.entries[0]?.seq ?? 0)
}

begin()
