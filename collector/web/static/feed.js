// The list: as many entries as are loaded, as few nodes as fit on the screen. Every line is equally
// high, so that a place in the list is a multiplication, and 100,000 lines are no more than 40.
import { h, icon, replace } from "./dom.js";
import { get } from "./api.js";
import { t } from "./i18n.js";
import { ago, clock, day, exact, number, DAY } from "./format.js";
import { items } from "./fold.js";
import { forApi, matcher } from "./filters.js";
import { sentence, sentenceText } from "./sentence.js";
import { sayText } from "./i18n.js";
import { withQuery } from "./router.js";

const FIRST = 100, NEXT = 200, OVERSCAN = 12, BREATH = 200;
// A page that is open for weeks forgets what is far down (it is loaded again when wanted), and of what
// waits too long it keeps no more than it can show.
const HELD = 100_000, WAITING = 5_000;

const CATEGORIES = new Set(["device", "entity", "auth", "capture", "system"]);
const OUTCOME_ICON = { failure: "error", denied: "deny", unknown: "info" };

/** A small mark with an icon and a word: never colour alone. */
export const mark = (kind, name, text) => h("span", { class: `mark ${kind}` }, icon(name), text);

/** What stands out of an entry: its outcome where it is not success, else its severity. */
export function marks(entry) {
  if (entry.outcome !== "success") return [mark(`is-${entry.outcome}`, OUTCOME_ICON[entry.outcome] ?? "info", sayText("outcome", entry.outcome))];
  if (entry.severity === "error") return [mark("is-failure", "error", sayText("severity", "error"))];
  if (entry.severity === "warning") return [mark("is-warning", "alert", sayText("severity", "warning"))];
  return [];
}

export const categoryIcon = category => h("span", { class: `cat cat-${CATEGORIES.has(category) ? category : "other"}`, title: sayText("category", category) },
  icon(CATEGORIES.has(category) ? category : "other"), h("span", { class: "unseen" }, sayText("category", category) + ": "));

/** A time that grows old by itself: how long ago, the exact one on hover. */
export function when(moment, now = Date.now()) {
  const age = now - Date.parse(moment);
  return h("time", { datetime: moment, title: exact(moment), class: "when", "data-ago": "" }, age < DAY ? ago(moment, now, "narrow") : clock(moment));
}
setInterval(() => {
  for (const node of document.querySelectorAll("time[data-ago]")) {
    const moment = node.getAttribute("datetime");
    if (Date.now() - Date.parse(moment) < DAY) node.textContent = ago(moment, Date.now(), "narrow");
  }
}, 20e3);

/** One line of the feed, without its place. */
export function line(entry, { inside = false } = {}) {
  return h("a", { class: `line${inside ? " inside" : ""} sev-${entry.severity === "error" || entry.severity === "warning" ? entry.severity : "info"}`, href: withQuery({ entry: entry.seq }), "data-seq": entry.seq },
    categoryIcon(entry.category), h("span", { class: "said" }, sentence(entry)), h("span", { class: "marks" }, marks(entry)), when(entry.occurred_at));
}

export class Feed {
  /** `changed` is called when what is loaded, or what waits, has changed. */
  constructor(changed) {
    this.changed = changed;
    this.box = h("div", { class: "feed", role: "list", "aria-label": t("feed") });
    this.more = h("div", { class: "feed-more" });
    this.node = h("div", { class: "feed-wrap" }, this.box, this.more);
    this.nodes = new Map();
    this.open = new Set();
    this.box.addEventListener("focusin", event => { this.selected = event.target.closest("[data-key]")?.dataset.key ?? this.selected; });
    this.onScroll = () => { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); }); };
    addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onScroll);
  }

  leave() {
    removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onScroll);
    this.asking?.abort();
    this.left = true;
  }

  /** Loads the newest entries for these filters; what was shown stays until they are there. */
  async reset(query) {
    this.asking?.abort();
    this.asking = new AbortController();
    this.query = forApi(query);
    this.passes = matcher(query);
    this.waiting = [];
    this.overrun = false;
    this.busy = true;
    this.failed = null;
    try {
      const asked = new URLSearchParams(this.query);
      asked.set("limit", FIRST);
      const page = await get(`/events?${asked}`, this.asking.signal);
      this.entries = page.entries;
      this.next = page.has_more ? page.next_before_seq : null;
      // What was recorded while the answer was on its way is in the waiting list, or in the answer.
      const newest = this.entries[0]?.seq ?? 0;
      this.entries = [...this.waiting.filter(entry => entry.seq > newest).reverse(), ...this.entries];
      this.waiting = [];
      this.count(asked);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = error;
      this.entries ??= [];
    }
    this.busy = false;
    this.clear();
    this.rebuild();
  }

  clear() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
  }

  async count(asked) {
    asked.set("limit", 1);
    asked.set("total", "true");
    const signal = this.asking.signal;
    try {
      const page = await get(`/events?${asked}`, signal);
      this.total = page.total === null ? t("entriesAtLeast", { n: number(page.total_at_least) }) : t("entries", { n: page.total }).replace(String(page.total), number(page.total));
    } catch { this.total = ""; }
    if (!signal.aborted) this.changed();
  }

  async loadMore() {
    if (this.busy || !this.next) return;
    this.busy = true;
    this.drawEnd();
    try {
      const asked = new URLSearchParams(this.query);
      asked.set("limit", NEXT);
      asked.set("before_seq", this.next);
      const page = await get(`/events?${asked}`, this.asking.signal);
      this.entries.push(...page.entries);
      this.next = page.has_more ? page.next_before_seq : null;
      this.failed = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = error;
    }
    this.busy = false;
    this.rebuild();
  }

  /** New entries, oldest first. They go in where nobody is reading; else they wait for a click. */
  hear(entries) {
    if (!this.passes) return;
    const wanted = entries.filter(this.passes);
    if (!wanted.length) return;
    this.waiting.push(...wanted);
    if (this.waiting.length > WAITING) this.overrun = true;
    // However fast they come, a few redraws a second are enough.
    this.flow ??= setTimeout(() => {
      this.flow = null;
      if (this.left) return;
      if (!this.busy && this.atRest()) this.takeIn(); else this.changed();
    }, BREATH);
  }

  atRest() { return scrollY < 8 && !this.selected && !new URLSearchParams(location.search).has("entry"); }

  takeIn() {
    if (this.overrun) { this.reset(new URLSearchParams(location.search)); return; }
    if (this.entries.length > HELD) {
      this.entries.length = HELD / 2;
      this.next = this.entries.at(-1).seq;
    }
    this.entries.unshift(...this.waiting.reverse());
    this.waiting = [];
    this.rebuild();
  }

  showWaiting() {
    this.selected = null;
    document.activeElement?.blur?.();
    scrollTo({ top: 0 });
    this.takeIn();
  }

  rebuild() {
    if (this.left) return;
    this.items = items(this.entries, this.open);
    this.height = parseFloat(getComputedStyle(this.box).getPropertyValue("--line")) || 36;
    this.box.style.setProperty("height", `${this.items.length * this.height}px`);
    const focused = this.selected && document.activeElement?.closest?.("[data-key]") ? this.selected : null;
    // A fold may have grown; every other line says what it said.
    for (const [key, node] of this.nodes) if (key.startsWith("fold:")) { node.remove(); this.nodes.delete(key); }
    this.draw();
    this.drawEnd();
    if (focused) this.nodes.get(focused)?.firstChild.focus({ preventScroll: true });
    this.changed();
  }

  draw() {
    if (!this.items || this.left) return;
    const height = parseFloat(getComputedStyle(this.box).getPropertyValue("--line")) || 36;
    if (height !== this.height) { this.rebuild(); return; }
    const top = this.box.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - OVERSCAN);
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / height) + OVERSCAN);
    const kept = new Set();
    for (let at = first; at < last; at += 1) {
      const item = this.items[at];
      kept.add(item.key);
      let node = this.nodes.get(item.key);
      if (!node) {
        node = this.drawn(item);
        this.nodes.set(item.key, node);
      }
      node.style.setProperty("transform", `translateY(${at * height}px)`);
      node.setAttribute("aria-posinset", at + 1);
      node.setAttribute("aria-setsize", this.items.length);
      if (!node.isConnected) this.box.append(node);
    }
    for (const [key, node] of this.nodes) if (!kept.has(key)) { node.remove(); this.nodes.delete(key); }
    // Reading order is the order of nodes: appended ones may have come from above.
    const order = [...this.nodes.values()].sort((a, b) => a.getAttribute("aria-posinset") - b.getAttribute("aria-posinset"));
    order.forEach((node, at) => { if (this.box.children[at] !== node) this.box.insertBefore(node, this.box.children[at] ?? null); });
    if (last > this.items.length - 40) this.loadMore();
  }

  drawn(item) {
    const content = item.kind === "day" ? h("h2", { class: "day" }, day(item.day)) : item.kind === "fold" ? this.foldLine(item) : line(item.entry, item);
    return h("div", { class: `row row-${item.kind}`, role: "listitem", "data-key": item.key }, content);
  }

  foldLine(item) {
    const { entries, what } = item, newest = entries[0], n = entries.length;
    const text = what === "found" ? t("foldFound", { n }) : t("foldFlap", { n, device: "\u0001" }).split("\u0001");
    const said = what === "found" ? text : [text[0], h("bdi", { class: "name" }, newest.object_name ?? newest.object_id), text[1]];
    return h("button", { class: "line fold", type: "button", "aria-expanded": String(item.open), on: { click: () => this.toggle(item.key) } },
      categoryIcon("device"), h("span", { class: "said" }, said), h("span", { class: "marks" }, h("span", { class: "mark" }, icon(item.open ? "down" : "right"), t(item.open ? "fold" : "unfold"))), when(newest.occurred_at));
  }

  toggle(key) {
    if (!this.open.delete(key)) this.open.add(key);
    this.selected = key;
    this.rebuild();
    this.nodes.get(key)?.firstChild.focus({ preventScroll: true });
  }

  drawEnd() {
    const button = (text, work) => h("button", { type: "button", class: "quiet", on: { click: work } }, text);
    replace(this.more,
      this.failed ? [h("span", {}, t("failed", { why: this.failed.message })), button(t("retry"), () => { this.failed = null; this.next ? this.loadMore() : this.reset(new URLSearchParams(location.search)); })]
      : this.busy ? h("span", {}, t("loading"))
      : this.next ? button(t("more"), () => this.loadMore())
      : this.entries?.length ? h("span", {}, t("feedEnd")) : null);
  }

  /** Moves the selection by `step` lines; day headings are passed over. */
  step(step) {
    if (!this.items?.length) return;
    let at = this.items.findIndex(item => item.key === this.selected);
    if (at < 0) at = step > 0 ? -1 : this.items.length;
    do at += step; while (this.items[at]?.kind === "day");
    const item = this.items[at];
    if (!item) return;
    this.selected = item.key;
    const top = this.box.getBoundingClientRect().top + scrollY + at * this.height;
    const head = document.querySelector(".top")?.offsetHeight ?? 0;
    if (top < scrollY + head + this.height) scrollTo({ top: top - head - this.height * 2 });
    else if (top > scrollY + innerHeight - this.height * 2) scrollTo({ top: top - innerHeight + this.height * 3 });
    this.draw();
    this.nodes.get(item.key)?.firstChild.focus({ preventScroll: true });
  }

  /** Forgets what is selected, so that new entries flow in again. */
  release() { this.selected = null; if (this.waiting?.length && this.atRest()) this.takeIn(); }
}

export const label = sentenceText;
