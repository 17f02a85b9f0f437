// Entries over time, by severity. A drag chooses a span, a click a bar; the two fields beside it do the
// same for whoever does not drag.
import { h, s, replace } from "./dom.js";
import { get } from "./api.js";
import { t, sayText } from "./i18n.js";
import { short, dayMonth, number, clock, HOUR, DAY } from "./format.js";
import { forApi, momentOf } from "./filters.js";
import { go, withQuery } from "./router.js";

const SPANS = { "24h": [DAY, "hour"], "7d": [7 * DAY, "hour"], "30d": [30 * DAY, "day"], "90d": [90 * DAY, "day"] };
const HEIGHT = 56, LAYERS = ["info", "warning", "error"];

export class Histogram {
  constructor() {
    this.plot = h("div", { class: "plot" });
    this.spans = h("div", { class: "segments", role: "group", "aria-label": t("histogram") });
    this.times = h("div", { class: "times" });
    this.choose = h("details", { class: "choose" }, h("summary", {}, t("anyTime")), this.times);
    this.tip = h("div", { class: "tip", hidden: true });
    this.node = h("section", { class: "histogram", "aria-label": t("histogram") },
      this.plot, this.tip, h("div", { class: "histogram-foot" }, this.axis = h("div", { class: "axis" }), this.choose, this.spans));
    this.plot.addEventListener("pointerdown", event => this.press(event));
    this.plot.addEventListener("pointermove", event => this.move(event));
    this.plot.addEventListener("pointerleave", () => { this.tip.hidden = true; });
  }

  /** Draws for the filters of an address. */
  async update(query) {
    this.query = query;
    const now = Date.now(), since = momentOf(query.get("since")), until = momentOf(query.get("until"));
    let name = query.get("span") in SPANS ? query.get("span") : "7d";
    const wider = Object.keys(SPANS).find(each => since !== null && now - SPANS[each][0] <= since);
    if (!query.has("span") && since !== null) name = wider ?? "90d";
    const [length, bucket] = SPANS[name];
    const unit = bucket === "hour" ? HOUR : DAY;
    this.unit = unit;
    // Buckets are UTC's, whatever the reader's zone.
    this.end = (Math.floor(now / unit) + 1) * unit;
    this.start = this.end - length;
    this.chosen = [since, until];
    replace(this.spans, Object.keys(SPANS).map(each =>
      h("a", { class: "segment", href: withQuery({ span: each }), "aria-current": each === name ? "true" : undefined }, sayText("span", each))));
    this.drawTimes();
    const asked = forApi(query);
    asked.set("since", new Date(this.start).toISOString());
    asked.delete("until");
    this.asking?.abort();
    this.asking = new AbortController();
    try {
      const found = await get(`/stats?by=severity&bucket=${bucket}&${asked}`, this.asking.signal);
      this.bars = bars(found.counts, this.start, unit, Math.round(length / unit));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.bars = bars([], this.start, unit, Math.round(length / unit));
    }
    this.draw();
  }

  /** Counts new entries in, without asking again. */
  hear(entries) {
    if (!this.bars) return;
    for (const entry of entries) {
      const bar = this.bars[Math.floor((Date.parse(entry.occurred_at) - this.start) / this.unit)];
      if (bar) { bar[entry.severity] = (bar[entry.severity] ?? 0) + 1; bar.total += 1; }
    }
    this.frame ??= setTimeout(() => { this.frame = null; this.draw(); }, 300);
  }

  draw() {
    const { bars } = this, most = Math.max(1, ...bars.map(bar => bar.total)), n = bars.length;
    const svg = s("svg", { viewBox: `0 0 ${n} ${HEIGHT}`, preserveAspectRatio: "none", class: "bars", "aria-hidden": "true" });
    bars.forEach((bar, at) => {
      let y = HEIGHT;
      for (const layer of LAYERS) {
        if (!bar[layer]) continue;
        // One error among thousands still shows.
        const size = Math.max(2, bar[layer] / most * (HEIGHT - 4));
        y -= size;
        svg.append(s("rect", { x: at + 0.1, y: Math.max(0, y), width: 0.8, height: size, class: `bar-${layer}` }));
      }
    });
    const [since, until] = this.chosen, place = moment => Math.min(1, Math.max(0, (moment - this.start) / (this.end - this.start)));
    const chosen = since !== null || until !== null;
    this.shade = h("div", { class: "chosen", hidden: !chosen, css: chosen ? { left: `${place(since ?? this.start) * 100}%`, right: `${(1 - place(until ?? this.end)) * 100}%` } : {} });
    replace(this.plot, svg, this.shade, most > 1 ? h("span", { class: "most" }, number(most)) : null);
    const format = this.unit === HOUR && this.end - this.start <= DAY ? clock : dayMonth;
    replace(this.axis, [0, 0.25, 0.5, 0.75].map(part => h("span", {}, format(this.start + part * (this.end - this.start)))));
  }

  drawTimes() {
    const local = moment => moment === null ? "" : new Date(moment - new Date(moment).getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
    const field = (name, label, value) => h("label", {}, h("span", {}, label), h("input", {
      type: "datetime-local", value: local(value), on: { change: event => go(withQuery({ [name]: event.target.value ? new Date(event.target.value).toISOString() : null })) },
    }));
    if (this.times.contains(document.activeElement)) return;
    if (this.chosen.some(each => each !== null)) this.choose.open = true;
    replace(this.times, field("since", t("from"), this.chosen[0]), field("until", t("to"), this.chosen[1]));
  }

  momentAt(x) {
    const box = this.plot.getBoundingClientRect();
    return this.start + Math.min(1, Math.max(0, (x - box.left) / box.width)) * (this.end - this.start);
  }

  press(event) {
    if (event.button) return;
    event.preventDefault();
    this.from = event.clientX;
    this.plot.setPointerCapture(event.pointerId);
    this.plot.addEventListener("pointerup", last => this.release(last), { once: true });
  }

  move(event) {
    const bar = this.bars?.[Math.floor((this.momentAt(event.clientX) - this.start) / this.unit)];
    if (bar) {
      this.tip.hidden = false;
      this.tip.textContent = `${short(bar.at)} · ${t("entries", { n: bar.total }).replace(String(bar.total), number(bar.total))}`;
      const box = this.plot.getBoundingClientRect(), width = this.tip.offsetWidth;
      this.tip.style.setProperty("left", `${Math.min(Math.max(0, event.clientX - box.left - width / 2), box.width - width)}px`);
    }
    if (this.from === undefined || !this.shade) return;
    const box = this.plot.getBoundingClientRect();
    const [left, right] = [this.from, event.clientX].sort((a, b) => a - b).map(x => Math.min(1, Math.max(0, (x - box.left) / box.width)));
    this.shade.hidden = false;
    this.shade.style.setProperty("left", `${left * 100}%`);
    this.shade.style.setProperty("right", `${(1 - right) * 100}%`);
  }

  release(event) {
    const [from, to] = [this.from, event.clientX].sort((a, b) => a - b).map(x => this.momentAt(x));
    this.from = undefined;
    const first = Math.floor((from - this.start) / this.unit), last = Math.ceil((to - this.start) / this.unit);
    const since = this.start + first * this.unit, until = this.start + Math.max(first + 1, last) * this.unit;
    const name = this.query.get("span") ?? Object.keys(SPANS).find(each => SPANS[each][0] === this.end - this.start);
    go(withQuery({ since: new Date(since).toISOString(), until: until >= this.end ? null : new Date(until).toISOString(), span: name }));
  }
}

function bars(counts, start, unit, n) {
  const found = Array.from({ length: n }, (_, at) => ({ at: start + at * unit, total: 0 }));
  for (const { bucket, value, count } of counts) {
    const bar = found[Math.floor((Date.parse(bucket) - start) / unit)];
    if (bar) { bar[value] = (bar[value] ?? 0) + count; bar.total += count; }
  }
  return found;
}

