// The dashboard: what needs attention first, then today, the latest, and the devices.
import { bdi, h, icon, replace } from "./dom.js";
import { get, session } from "./api.js";
import { sayText, t } from "./i18n.js";
import { ago, compact, exact, number, DAY } from "./format.js";
import { line } from "./feed.js";
import { onLive } from "./live.js";
import { stateMark, stateOf, timeline, transitions } from "./states.js";

const LATEST = 5, DEVICES = 12, REFRESH = 30_000, SOON = 1_500;
const BAD = ["offline", "flapping", "suspect"];

export function dashboard() {
  const attention = h("section", { class: "attention", "aria-labelledby": "attention" }), today = h("section", { class: "panel today", "aria-labelledby": "today" });
  const recent = h("section", { class: "panel recent", "aria-labelledby": "recent" }), devices = h("section", { class: "panel board", "aria-labelledby": "board" });
  const node = h("div", { class: "view dashboard" }, h("h1", { class: "unseen" }, t("tab.dashboard")), attention, h("div", { class: "columns" }, recent, today), devices);
  let latest = [], left = false, soon;

  async function load() {
    const midnight = new Date(new Date().setHours(0, 0, 0, 0)).toISOString();
    const stats = by => get(`/stats?by=${by}&since=${midnight}`);
    const [page, categories, outcomes, severities, known, status, changes] = await Promise.all([
      get(`/events?limit=${LATEST}`), stats("category"), stats("outcome"), stats("severity"),
      session.whole ? get("/devices") : { devices: [] }, session.whole ? get("/status") : {}, session.whole ? transitions(Date.now() - DAY) : new Map()]);
    if (left) return;
    latest = page.entries;
    drawRecent();
    drawToday(tally(categories), tally(outcomes));
    drawAttention(known.devices, tally(outcomes), tally(severities), status);
    drawDevices(known.devices, changes);
  }
  const refresh = () => load().catch(error => { if (!left && !latest.length) replace(attention, h("p", { class: "hint" }, t("failed", { why: error.message }))); });

  function drawRecent() {
    replace(recent, h("header", {}, h("h2", { id: "recent" }, t("recent")), h("a", { href: "/activity" }, t("viewAll"), icon("right"))),
      latest.length ? h("ol", { class: "lines" }, latest.map(entry => h("li", {}, line(entry))))
        : h("div", { class: "empty inner" }, h("p", {}, t("emptyJournal")), h("p", { class: "hint" }, t("emptyJournalHint")), h("pre", {}, "collector emit hello.said -m 'Hello'")));
  }

  function drawToday(categories, outcomes) {
    const total = sum(categories);
    const rows = (group, found, classes, most = Math.max(1, ...found.values())) => h("ul", { class: "counts" }, [...found].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([value, n]) => h("li", {},
      h("a", { href: `/activity?since=today&${new URLSearchParams({ [group]: value })}` }, h("span", { class: "counts-name" }, bdi(sayText(group, value))),
        h("span", { class: `counts-bar ${classes(value)}` }, h("span", { css: { width: `${Math.max(1, n / most * 100)}%` } })), h("span", { class: "counts-n" }, number(n))))));
    replace(today, h("header", {}, h("h2", { id: "today" }, t("today")), h("a", { href: "/activity?since=today", class: "figure" }, total > 99_999 ? compact(total) : number(total), h("span", { class: "unseen" }, ` ${t("total")}`))),
      h("h3", {}, t("byCategory")), rows("category", categories, value => `fill-${value}`), h("h3", {}, t("byOutcome")), rows("outcome", outcomes, value => `fill-${value}`));
  }

  function drawAttention(found, outcomes, severities, status) {
    const items = [];
    const add = (kind, name, text, href, more) => items.push(h("li", { class: `alert alert-${kind}` }, h(href ? "a" : "div", { href }, icon(name), h("span", { class: "alert-text" }, text), more ? h("span", { class: "dim" }, more) : null, href ? icon("right", { class: "icon go" }) : null)));
    if (status.state && status.state !== "recording") add("bad", "error", t("notRecording"), null, status.error && bdi(status.error));
    if (status.journal?.full) add("bad", "error", t("diskFull"), "/settings");
    const lost = Object.values(status.lost ?? {}).reduce((all, n) => all + (Number.isFinite(n) ? n : 0), 0);
    if (lost) add("bad", "alert", t("lostEvents", { n: lost }), "/activity?action=events.lost");
    if (found.some(device => device.unobservable)) add("warn", "alert", t("blind"), "/activity?action=network.unobservable", t("blindHint"));
    const bad = found.map(device => [stateOf(device), device]).filter(([state]) => BAD.includes(state)).sort((a, b) => BAD.indexOf(a[0]) - BAD.indexOf(b[0]));
    for (const [state, device] of bad.slice(0, 8)) add(state === "offline" ? "bad" : "warn", state === "offline" ? "error" : state === "flapping" ? "pulse" : "alert",
      [bdi(device.display_name, { class: "name" })], `/devices/${encodeURIComponent(device.id)}`, state === "flapping" ? t("isFlapping") : t(state === "offline" ? "offlineSince" : "suspectSince", { when: ago(device.state_since) }));
    if (bad.length > 8) add("warn", "device", `+ ${number(bad.length - 8)}`, "/devices");
    const errors = severities.get("error") ?? 0, missed = (outcomes.get("failure") ?? 0) + (outcomes.get("denied") ?? 0);
    if (errors) add("warn", "error", t("errorsToday", { n: errors }), "/activity?since=today&severity=error");
    if (missed) add("note", "deny", t("failuresToday", { n: missed }), "/activity?since=today&outcome=failure&outcome=denied");
    replace(attention, h("h2", { id: "attention", class: items.length ? "" : "unseen" }, t("attention")),
      items.length ? h("ul", { class: "alerts" }, items)
        : h("div", { class: "calm" }, icon("ok"), h("p", {}, h("strong", {}, t("calm")), " ", found.length ? t("calmHint", { n: found.length }) : t("noDevicesHint"))));
  }

  function drawDevices(found, changes) {
    if (!session.whole) { devices.hidden = true; return; }
    const order = [...BAD, "unobservable", "online", "unknown", "maintenance", "ignored"];
    const sorted = [...found].sort((a, b) => order.indexOf(stateOf(a)) - order.indexOf(stateOf(b)) || a.display_name.localeCompare(b.display_name));
    replace(devices, h("header", {}, h("h2", { id: "board" }, t("devices")), h("span", { class: "dim" }, t("heartbeat")), h("a", { href: "/devices" }, t("viewAll"), icon("right"))),
      sorted.length ? h("ul", { class: "cards" }, sorted.slice(0, DEVICES).map(device => h("li", {}, h("a", { class: "card", href: `/devices/${encodeURIComponent(device.id)}` },
        h("span", { class: "card-head" }, bdi(device.display_name, { class: "name" }), stateMark(stateOf(device))),
        timeline(device, changes.get(device.id) ?? []),
        h("span", { class: "card-foot" }, bdi(device.addresses[0] ?? ""), device.last_seen ? h("time", { datetime: device.last_seen, title: exact(device.last_seen) }, ago(device.last_seen)) : null)))))
        : h("div", { class: "empty inner" }, h("p", {}, t("noDevicesHint")), h("p", { class: "hint" }, t("noDevicesText"))));
  }

  const timer = setInterval(() => { if (!document.hidden) refresh(); }, REFRESH);
  const off = onLive(message => {
    if (message.kind === "entries") {
      latest = [...message.entries.slice(-LATEST).reverse(), ...latest].slice(0, LATEST);
      drawRecent();
      soon ??= setTimeout(() => { soon = undefined; refresh(); }, SOON);
    } else if (message.back || message.kind === "reset") refresh();
  });
  drawRecent();
  refresh();
  return {
    node, title: t("tab.dashboard"), keys: {},
    update() { for (const link of recent.querySelectorAll("a.line")) link.setAttribute("href", `/?entry=${link.dataset.seq}`); },
    leave() { left = true; off(); clearInterval(timer); clearTimeout(soon); },
  };
}

const tally = ({ counts }) => counts.reduce((all, { value, count }) => value === null ? all : all.set(value, (all.get(value) ?? 0) + count), new Map());
const sum = found => [...found.values()].reduce((all, n) => all + n, 0);
