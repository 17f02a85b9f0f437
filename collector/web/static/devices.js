// The Devices tab: the list, and one device.
import { bdi, h, icon, replace, toast } from "./dom.js";
import { auditedResources, get, patch, session } from "./api.js";
import { sayText, t } from "./i18n.js";
import { ago, exact, percent, precise, DAY, HOUR } from "./format.js";
import { line } from "./feed.js";
import { definition } from "./drawer.js";
import { changesets } from "./changes.js";
import { go, withQuery } from "./router.js";
import { onLive } from "./live.js";
import { share, spans, stateMark, stateOf, timeline, transitions } from "./states.js";

const REFRESH = 15_000, SOON = 1_000;
const STATES = ["offline", "flapping", "suspect", "unobservable", "online", "unknown", "maintenance", "ignored"];
const SPANS = { "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const HOURS = { "1": HOUR, "8": 8 * HOUR, "24": DAY, "168": 7 * DAY };

export function devices(route) {
  const id = route.path.startsWith("/devices/") ? decodeURIComponent(route.path.slice(9)) : null;
  const view = id === null ? list(route) : one(id, route);
  let soon;
  const timer = setInterval(() => { if (!document.hidden) view.load(); }, REFRESH);
  const off = onLive(message => {
    if (message.back || message.kind === "reset" || message.entries?.some(entry => entry.object_type === "device")) soon ??= setTimeout(() => { soon = undefined; view.load(); }, SOON);
  });
  view.load();
  return { title: t("tab.devices"), keys: {}, ...view, leave() { view.left = true; off(); clearInterval(timer); clearTimeout(soon); } };
}

const wholeOnly = () => h("div", { class: "empty" }, h("p", {}, t("mustLogin")));

function list(route) {
  const rows = h("div", { class: "table-place" }), states = h("nav", { class: "presets", "aria-label": t("stateName") });
  const search = h("input", { type: "search", placeholder: t("findDevice"), "aria-label": t("findDevice"), value: route.query.get("q") ?? "", on: { input: () => go(withQuery({ q: search.value.trim() || null }), { replace: true }) } });
  const node = h("div", { class: "view devices" }, h("h1", { class: "unseen" }, t("tab.devices")), h("div", { class: "bar" }, h("div", { class: "search" }, icon("search"), search), states), rows);
  let known = null, changes = new Map(), query = route.query;

  function draw() {
    if (!known) return;
    const counts = new Map();
    for (const device of known) counts.set(stateOf(device), (counts.get(stateOf(device)) ?? 0) + 1);
    const wanted = query.get("state"), words = (query.get("q") ?? "").toLowerCase();
    replace(states, h("a", { class: "preset", href: withQuery({ state: null }), "aria-current": wanted ? undefined : "true" }, t("everyState"), h("span", { class: "count" }, known.length)),
      STATES.filter(state => counts.has(state)).map(state => h("a", { class: "preset", href: withQuery({ state }), "aria-current": state === wanted ? "true" : undefined }, sayText("state", state), h("span", { class: "count" }, counts.get(state)))));
    const shown = known.filter(device => (!wanted || stateOf(device) === wanted) && (!words || JSON.stringify(device).toLowerCase().includes(words)));
    if (!known.length) {
      replace(rows, h("div", { class: "empty" }, h("h2", {}, t("noDevices")), h("p", {}, t("noDevicesText")), h("pre", {}, '[[devices]]\nname = "Printer"\naddress = "192.168.1.20"\ncheck = "tcp://192.168.1.20:631"')));
      return;
    }
    if (!shown.length) { replace(rows, h("div", { class: "empty" }, h("p", {}, t("noneFound")))); return; }
    replace(rows, h("table", { class: "table device-table" }, h("thead", {}, h("tr", {}, ["name", "stateName", "heartbeat", "uptime", "addresses", "types", "lastSeen"].map(key => h("th", { scope: "col", class: `col-${key}` }, t(key))))),
      h("tbody", {}, shown.map(device => {
        const own = changes.get(device.id) ?? [], part = share(spans(device, own, Date.now() - DAY, Date.now()));
        return h("tr", {}, h("th", { scope: "row", class: "col-name" }, h("a", { href: `/devices/${encodeURIComponent(device.id)}` }, bdi(device.display_name))),
          h("td", { class: "col-stateName" }, stateMark(stateOf(device))), h("td", { class: "col-heartbeat" }, timeline(device, own)), h("td", { class: "col-uptime" }, part === null ? "–" : percent(part)),
          h("td", { class: "col-addresses" }, bdi(device.addresses.slice(0, 2).join(", ") + (device.addresses.length > 2 ? ` +${device.addresses.length - 2}` : ""))),
          h("td", { class: "col-types" }, bdi(device.types.slice(0, 3).map(type => type.replace(/^_|\._(tcp|udp)$/g, "")).join(", ") + (device.types.length > 3 ? ` +${device.types.length - 3}` : ""))),
          h("td", { class: "col-lastSeen" }, device.last_seen ? h("time", { datetime: device.last_seen, title: exact(device.last_seen) }, ago(device.last_seen)) : "–"));
      }))));
  }

  return {
    node,
    async load() {
      if (!session.whole) { replace(rows, wholeOnly()); return; }
      try {
        const [found, moved] = await Promise.all([get("/devices"), transitions(Date.now() - DAY)]);
        known = found.devices.filter(device => !device.forgotten);
        changes = moved;
        if (!this.left) draw();
      } catch (error) { if (!known) replace(rows, h("p", { class: "hint" }, t("failed", { why: error.message }))); }
    },
    update(route) { query = route.query; draw(); },
  };
}

function one(id, route) {
  const node = h("div", { class: "view device" });
  let span = route.query.get("span") ?? "24h", found = null;
  const view = {
    node,
    async load() {
      if (!session.whole) { replace(node, wholeOnly()); return; }
      if (node.contains(document.activeElement) && document.activeElement.matches("input,select")) return;
      try {
        const [detail, moved, history] = await Promise.all([get(`/devices/${encodeURIComponent(id)}`), transitions(Date.now() - SPANS["30d"], id), historyOf(id)]);
        found = { ...detail, changes: moved.get(id) ?? [], history };
        if (!view.left) draw();
      } catch (error) { replace(node, h("div", { class: "empty" }, h("h1", {}, bdi(id)), h("p", {}, error.message), h("a", { class: "button", href: "/devices" }, t("tab.devices")))); }
    },
    update(route) { span = route.query.get("span") in SPANS ? route.query.get("span") : "24h"; draw(); },
  };
  const change = async body => {
    try { await patch(`/devices/${encodeURIComponent(id)}`, body); toast(t("saved")); document.activeElement?.blur?.(); } catch (error) { toast(t("failed", { why: error.message })); }
    view.load();
  };

  function controls(device) {
    const input = h("input", { type: "text", maxlength: 200, value: device.display_name, "aria-label": t("name") });
    const form = h("form", { class: "rename", on: { submit: event => { event.preventDefault(); change({ name: input.value.trim() || null }); } } }, input, h("button", {}, t("rename")));
    const busy = stateOf(device) === "maintenance";
    const until = h("select", { "aria-label": t("maintenanceFor"), on: { change: () => until.value && change({ maintenance_until: new Date(Date.now() + HOURS[until.value]).toISOString() }) } },
      h("option", { value: "" }, t("maintenanceFor") + "…"), Object.entries(HOURS).map(([hours, length]) => h("option", { value: hours }, new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: length < DAY ? "hour" : "day", unitDisplay: "long" }).format(length < DAY ? length / HOUR : length / DAY))));
    return h("div", { class: "controls" }, form, device.custom_name ? h("button", { type: "button", class: "quiet", on: { click: () => change({ name: null }) } }, t("resetName")) : null,
      busy ? h("button", { type: "button", on: { click: () => change({ maintenance_until: null }) } }, t("endMaintenance")) : until,
      h("button", { type: "button", title: t("ignoreHint"), on: { click: () => change({ ignored: !device.ignored }) } }, t(device.ignored ? "attend" : "ignore")));
  }

  function draw() {
    if (!found) return;
    const { device, uptime, activity, changes, history } = found, state = stateOf(device), now = Date.now();
    const row = (name, each) => each === null || each === undefined || each === "" ? null : [t(name), each];
    const time = each => each ? h("time", { datetime: each, title: exact(each) }, precise(each)) : null;
    replace(node,
      h("header", { class: "device-head" }, h("a", { class: "back", href: "/devices" }, t("tab.devices")), h("h1", {}, bdi(device.display_name)), stateMark(state),
        h("span", { class: "dim" }, state === "maintenance" ? t("maintenanceUntil", { when: precise(device.maintenance_until) }) : t("since", { when: ago(device.state_since) })), device.present ? null : h("span", { class: "mark" }, t("absent"))),
      session.admin ? controls(device) : null,
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("timeline")), h("div", { class: "segments" }, Object.keys(SPANS).map(each => h("a", { class: "segment", href: withQuery({ span: each }), "aria-current": each === span ? "true" : undefined }, sayText("span", each))))),
        timeline(device, changes.filter(each => each.at >= now - SPANS[span]), { start: now - SPANS[span], end: now, className: "heartbeat tall" }),
        h("div", { class: "figures" }, Object.entries(uptime).map(([name, part]) => h("div", {}, h("b", {}, part === null ? "–" : percent(part)), h("span", {}, `${t("uptime")} · ${sayText("span", name)}`))))),
      h("div", { class: "columns" },
        h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("properties"))), definition([
          device.custom_name ? row("advertised", bdi(device.name)) : null, row("addresses", device.addresses.length ? bdi(device.addresses.join(", ")) : null), row("check", device.check && bdi(device.check)), row("reason", device.reason && state !== "online" ? bdi(device.reason) : null),
          row("origin", sayText("originOf", device.origin)), row("firstSeen", time(device.first_seen)), row("lastSeen", time(device.last_seen))].filter(Boolean)),
          device.services.map(service => h("details", { class: "service" }, h("summary", {}, bdi(`${service.type}`), h("span", { class: "dim" }, bdi([service.host, service.port].filter(Boolean).join(":")))),
            definition([[t("instance"), bdi(service.instance)], ...Object.entries(service.txt).map(([key, text]) => [bdi(key), bdi(text)])])))),
        h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("deviceActivity")), h("a", { href: `/activity?${new URLSearchParams({ object_type: "device", object_id: id })}` }, t("allActivity"), icon("right"))),
          h("ol", { class: "lines" }, activity.slice(0, 10).map(entry => h("li", {}, line(entry)))))),
      history ? h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("deviceChanges"))), history.items.length ? changesets(history.items, history.resource, { named: false }) : h("p", { class: "hint" }, t("noChanges"))) : null);
  }
  return view;
}

async function historyOf(id) {
  const resource = (await auditedResources()).find(each => each.slug === "devices");
  return resource ? { resource, ...(await get(`${resource.path}?${new URLSearchParams({ object_id: id, limit: 10 })}`)) } : null;
}

