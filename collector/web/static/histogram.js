// Entries over time, by severity. A drag chooses a span, a click a bar; so do two fields, without dragging.
import { choice, clock, dayMonth, get, go, h, measured, number, replace, s, say, short, t, withQuery, HOUR, DAY } from "./kit.js"
import { forApi, momentOf } from "./filters.js"

const DAYS = { "24h": 1, "7d": 7, "30d": 30, "90d": 90 }, FINE = 7, HEIGHT = 56, REDRAW = 300

export const spanText = name => DAYS[name] > 1 ? measured(DAYS[name], "day") : measured(24, "hour")
export const spanLength = name => DAYS[name] * DAY
export const spanLinks = (chosen, names = Object.keys(DAYS)) => names.map(name => choice(".segment", withQuery({ span: name }), name === chosen, spanText(name)))
/** Columns, each a stack of `[class, value, title]`. */
export function columns(bars, height) {
	const most = Math.max(1, ...bars.map(bar => bar.reduce((all, [, n]) => all + n, 0)))
	return s("svg", { viewBox: `0 0 ${bars.length} ${height}`, preserveAspectRatio: "none" }, bars.map((bar, at) => {
		let y = height
		return bar.filter(([, n]) => n).map(([name, n, title]) => {
			// One error among thousands still shows.
			const high = Math.max(2, n / most * (height - 4))
			return s("rect.bar-" + name, { x: at + 0.1, y: y = Math.max(0, y - high), width: 0.8, height: high }, title && s("title", title))
		})
	}))
}

export class Histogram {
	constructor() {
		this.plot = h(".plot", { onpointerdown: event => this.press(event), onpointermove: event => this.move(event), onpointerleave: () => { this.tip.hidden = true; } })
		this.tip = h(".tip", { hidden: true })
		this.axis = h(".axis")
		this.times = h(".times")
		this.choose = h("details", h("summary", t("anyTime")), this.times)
		this.spans = h(".segments")
		this.node = h("section.histogram", { label: t("histogram") }, this.plot, this.tip, h(".histogram-foot", this.axis, this.choose, this.spans))
	}

	async update(query) {
		const now = Date.now(), [since] = this.chosen = ["since", "until"].map(name => momentOf(query.get(name)))
		const fitting = since === null ? "7d" : Object.keys(DAYS).find(name => now - spanLength(name) <= since) ?? "90d"
		this.span = Object.hasOwn(DAYS, query.get("span")) ? query.get("span") : fitting
		const fine = DAYS[this.span] <= FINE, unit = this.unit = fine ? HOUR : DAY
		// Buckets are UTC's, whatever the reader's zone.
		this.end = (Math.floor(now / unit) + 1) * unit
		this.start = this.end - spanLength(this.span)
		replace(this.spans, spanLinks(this.span))
		this.drawTimes()
		this.asking?.abort()
		const { signal } = this.asking = new AbortController(), asked = forApi(query)
		asked.set("since", new Date(this.start).toISOString())
		asked.delete("until")
		const { counts } = await get(`/stats?by=severity&bucket=${fine ? "hour" : "day"}&${asked}`, signal).catch(() => ({ counts: [] }))
		if (signal.aborted) return
		this.bars = Array.from({ length: (this.end - this.start) / unit }, () => ({ info: 0, warning: 0, error: 0 }))
		for (const { bucket, value, count } of counts) this.add(bucket, value, count)
		this.draw()
	}

	add(moment, severity, n) {
		const bar = this.bars[Math.floor((Date.parse(moment) - this.start) / this.unit)]
		if (bar) bar[severity] += n
	}

	hear(entries) {
		if (!this.bars) return
		for (const entry of entries) this.add(entry.occurred_at, entry.severity, 1)
		this.waiting ??= setTimeout(() => { this.waiting = null; this.draw(); }, REDRAW)
	}

	draw() {
		const most = Math.max(...this.bars.map(total)), text = this.unit === HOUR && this.bars.length <= 24 ? clock : dayMonth
		this.shade = h(".chosen")
		replace(this.plot, columns(this.bars.map(Object.entries), HEIGHT), this.shade, most > 1 && h("span.most", number(most)))
		this.mark(...this.chosen)
		replace(this.axis, [0, 0.25, 0.5, 0.75].map(part => h("span", text(this.start + part * (this.end - this.start)))))
	}

	/** Shades between moments; null is no bound. */
	mark(since, until) {
		const share = moment => (moment - this.start) / (this.end - this.start), within = part => `${Math.min(1, Math.max(0, part)) * 100}%`
		this.shade.hidden = since === null && until === null
		this.shade.style.setProperty("left", within(share(since ?? this.start)))
		this.shade.style.setProperty("right", within(1 - share(until ?? this.end)))
	}

	drawTimes() {
		if (this.times.contains(document.activeElement)) return
		const local = moment => moment === null ? "" : new Date(moment - new Date(moment).getTimezoneOffset() * 60e3).toISOString().slice(0, 16)
		if (this.chosen.some(each => each !== null)) this.choose.open = true
		replace(this.times, ["since", "until"].map((name, at) => h("label", say("field", name), h("input", {
			type: "datetime-local", value: local(this.chosen[at]), onchange: ({ target: { value } }) => go(withQuery({ [name]: value && new Date(value).toISOString() })),
		}))))
	}

	momentAt({ clientX }) {
		const { left, width } = this.plot.getBoundingClientRect()
		return this.start + Math.min(0.9999, Math.max(0, (clientX - left) / width)) * (this.end - this.start)
	}
	/** Where the drag began and is, the earlier first. */
	dragged(event) { return [this.from, this.momentAt(event)].sort((a, b) => a - b); }

	press(event) {
		if (event.button || !this.bars) return
		event.preventDefault()
		this.from = this.momentAt(event)
		this.plot.setPointerCapture(event.pointerId)
		this.plot.addEventListener("pointerup", last => this.release(last), { once: true })
	}

	move(event) {
		if (!this.bars) return
		const at = Math.floor((this.momentAt(event) - this.start) / this.unit), { left, width } = this.plot.getBoundingClientRect()
		this.tip.hidden = false
		this.tip.textContent = `${short(this.start + at * this.unit)} · ${t("entries", { n: total(this.bars[at]) })}`
		const own = this.tip.offsetWidth
		this.tip.style.setProperty("left", `${Math.min(Math.max(0, event.clientX - left - own / 2), width - own)}px`)
		if (this.from) this.mark(...this.dragged(event))
	}

	release(event) {
		const [first, last] = this.dragged(event).map(moment => (moment - this.start) / this.unit)
		this.from = 0
		const moment = bars => this.start + bars * this.unit, until = moment(Math.max(Math.floor(first) + 1, Math.ceil(last)))
		go(withQuery({ since: new Date(moment(Math.floor(first))).toISOString(), until: until >= this.end ? null : new Date(until).toISOString(), span: this.span }))
	}
}

const total = bar => bar.info + bar.warning + bar.error
