// The list: as many entries as are loaded, as few nodes as fit on the screen. Every line is equally
// high: a place in the list is a multiplication, and 100,000 lines are some 60 nodes.
import { bdi, button, day, get, h, icon, number, replace, route, t } from "./kit.js"
import { items } from "./fold.js"
import { forApi } from "./filters.js"
import { categoryIcon, line, relink, when } from "./line.js"

const FIRST = 100, NEXT = 200, OVERSCAN = 12, AHEAD = 40, BREATH = 200
// A page that is open for weeks forgets what is far down and waits too long; it is loaded again when wanted.
const HELD = 100_000, WAITING = 5_000

export class Feed {
	/** `changed` is called when what is loaded or waits has changed, `took` with what came in. */
	constructor(changed, took, signal) {
		const select = event => { this.selected = event.target.closest("[data-key]")?.dataset.key ?? this.selected; }
		this.box = h(".feed", { role: "list", label: t("entriesKept"), onfocusin: select })
		this.end = h(".feed-more")
		Object.assign(this, { changed, took, signal, node: h("", this.box, this.end), nodes: new Map(), open: new Set() })
		const draw = () => { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); }); }
		for (const type of ["scroll", "resize"]) addEventListener(type, draw, { passive: true, signal })
		signal.addEventListener("abort", () => this.asking?.abort())
	}

	ask(parameters) {
		return get(`/events?${new URLSearchParams([...this.query, ...Object.entries(parameters)])}`, this.asking.signal)
	}

	/** Loads the newest entries; what was shown stays until they are there. */
	async reset(query = route().query) {
		this.asking?.abort()
		this.asking = new AbortController()
		this.query = forApi(query)
		this.waiting = []
		this.heard = []
		this.total = this.selected = null
		this.newest = 0
		await this.load({ limit: FIRST }, ({ entries }) => {
			this.newest = Math.max(this.newest, entries[0]?.seq ?? 0)
			this.waiting = this.waiting.filter(entry => entry.seq > (entries[0]?.seq ?? 0))
			this.entries = entries
			for (const key of this.nodes.keys()) this.drop(key)
			this.count()
		})
		if (this.atRest()) this.takeIn()
	}

	loadMore() { if (!this.busy && this.next) this.load({ limit: NEXT, before_seq: this.next }, ({ entries }) => { for (const entry of entries) this.entries.push(entry); }); }

	async load(parameters, take) {
		const { signal } = this.asking
		this.busy = true
		this.failed = null
		this.drawEnd()
		try {
			const page = await this.ask(parameters)
			take(page)
			this.next = page.has_more ? page.next_before_seq : null
		} catch (error) {
			if (signal.aborted) return
			this.failed = error
			this.entries ??= []
		}
		this.busy = false
		this.rebuild()
	}

	async count() {
		const { signal } = this.asking, { total, total_at_least: least } = await this.ask({ limit: 1, total: true }).catch(() => ({}))
		this.total = least ? t("entries", { n: `> ${number(least)}` }) : total >= 0 ? t("entries", { n: total }) : ""
		if (!signal.aborted) this.changed()
	}

	/** New entries, oldest first, go in where nobody is reading; else they wait for a click. */
	hear(entries) {
		this.heard.push(...entries)
		this.flow ??= setTimeout(() => { this.flow = null; this.sort(); }, BREATH)
	}

	async sort() {
		const { asking, heard } = this
		if (this.signal.aborted || !heard.length) return
		this.heard = []
		// Which of them pass filters, the API knows.
		const { entries, has_more } = this.query.size ? await this.ask({ after_seq: heard[0].seq - 1, limit: NEXT }).catch(() => ({ entries: [] })) : { entries: heard }
		const fresh = entries.filter(entry => entry.seq > this.newest)
		if (asking !== this.asking || !fresh.length) return
		this.newest = fresh.at(-1).seq
		this.overrun = has_more || this.waiting.push(...fresh) > WAITING
		this.took(fresh)
		if (this.atRest()) this.takeIn(); else this.changed()
	}

	atRest() { return !this.busy && scrollY < 8 && !this.selected && !route().query.has("entry"); }

	takeIn() {
		if (this.overrun) { this.overrun = false; this.reset(); }
		if (!this.waiting.length) return
		if (this.entries.length > HELD) {
			this.entries.length = HELD / 2
			this.next = this.entries.at(-1).seq
		}
		this.entries.unshift(...this.waiting.reverse())
		this.waiting = []
		this.rebuild()
	}

	showWaiting() {
		document.activeElement?.blur?.()
		scrollTo({ top: 0 })
		this.selected = null
		this.takeIn()
	}

	/** Forgets what is selected, so that new entries flow in again. */
	release() { this.selected = null; if (this.atRest()) this.takeIn(); }
	relink() { relink(this.node); }
	lineHeight() { return parseFloat(getComputedStyle(this.box).getPropertyValue("--line")); }
	focus() { this.nodes.get(this.selected)?.firstChild.focus({ preventScroll: true }); }

	rebuild() {
		if (this.signal.aborted) return
		this.items = items(this.entries, this.open)
		this.height = this.lineHeight()
		this.box.style.setProperty("height", `${this.items.length * this.height}px`)
		const focused = this.nodes.get(this.selected)?.contains(document.activeElement)
		// A fold may have grown; every other line says what it said.
		for (const key of this.nodes.keys()) if (key.startsWith("fold:")) this.drop(key)
		this.draw()
		this.drawEnd()
		if (focused) this.focus()
		this.changed()
	}

	drop(key) { this.nodes.get(key).remove(); this.nodes.delete(key); }

	draw() {
		const { height, box, nodes, items: all } = this
		if (!all) return
		if (this.lineHeight() !== height) { this.rebuild(); return; }
		const { top } = box.getBoundingClientRect(), first = Math.max(0, Math.floor(-top / height) - OVERSCAN), last = Math.ceil((innerHeight - top) / height) + OVERSCAN
		const shown = all.slice(first, Math.max(first, last)), kept = new Set(shown.map(item => item.key))
		for (const key of nodes.keys()) if (!kept.has(key)) this.drop(key)
		// Reading order is the order of nodes.
		let next = box.firstChild
		shown.forEach((item, at) => {
			const node = nodes.get(item.key) ?? this.drawn(item)
			nodes.set(item.key, node)
			node.style.setProperty("transform", `translateY(${(first + at) * height}px)`)
			node.setAttribute("aria-posinset", first + at + 1)
			node.setAttribute("aria-setsize", all.length)
			if (node === next) next = next.nextSibling; else box.insertBefore(node, next)
		})
		if (last > all.length - AHEAD && !this.failed) this.loadMore()
	}

	drawn(item) {
		const content = item.kind === "day" ? h("h2.day", day(item.day), item.late && h("span.hint", t("cameLate"))) : item.kind === "fold" ? this.foldLine(item) : line(item.entry, item)
		return h(".row.row-" + item.kind, { role: "listitem", "data-key": item.key }, content)
	}

	foldLine({ key, entries, day, found, open }) {
		const [newest] = entries, n = entries.length
		return button(".line", () => this.toggle(key), { "aria-expanded": String(open) }, categoryIcon("device"),
			h("span.said", found ? t("foldFound", { n }) : [bdi(newest.object_name ?? newest.object_id, ".name"), t("foldFlap", { n })]),
			h("span.marks", icon(open ? "down" : "right")), when(newest.occurred_at, day))
	}

	toggle(key) {
		if (!this.open.delete(key)) this.open.add(key)
		this.selected = key
		this.rebuild()
		this.focus()
	}

	drawEnd() {
		const more = () => { this.failed = null; if (this.entries.length) this.loadMore(); else this.reset(); }
		replace(this.end, this.failed && t("failed", { why: this.failed.message }), this.busy ? this.entries && t("loading") : this.next || this.failed ? button(".quiet", more, t("more")) : this.entries?.length ? t("feedEnd") : null)
	}

	/** Moves the selection, over day headings. */
	step(step) {
		if (!this.items?.length) return
		let at = this.items.findIndex(item => item.key === this.selected)
		if (at < 0) at = step > 0 ? -1 : this.items.length
		do at += step; while (this.items[at]?.kind === "day")
		if (!this.items[at]) return
		this.selected = this.items[at].key
		const { height } = this, head = document.querySelector(".top").offsetHeight, top = this.box.getBoundingClientRect().top + scrollY + at * height
		if (top < scrollY + head + height) scrollTo({ top: top - head - height * 2 })
		else if (top > scrollY + innerHeight - height * 2) scrollTo({ top: top - innerHeight + height * 3 })
		this.draw()
		this.focus()
	}
}
