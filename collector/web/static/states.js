// States of devices, and how they went over time.
import { h, icon, s } from "./dom.js";
import { get } from "./api.js";
import { sayText, t } from "./i18n.js";
import { percent, short, DAY } from "./format.js";

const ICONS = { online: "ok", offline: "close", suspect: "alert", unknown: "info", flapping: "pulse", maintenance: "info", ignored: "deny", unobservable: "info" };
const UP = new Set(["online", "suspect"]), PAGES = 5;

/** The state people should see: what somebody set stands above what was found. */
export function stateOf(device, now = Date.now()) {
  if (device.ignored) return "ignored";
  if (device.maintenance_until && Date.parse(device.maintenance_until) > now) return "maintenance";
  if (device.unobservable) return "unobservable";
  if (device.flapping) return "flapping";
  return device.state;
}

export const stateMark = state => h("span", { class: `state state-${state}` }, icon(ICONS[state] ?? "info"), sayText("state", state));

/** Changes of state since `since`, by device, oldest first; of one device where it is named. */
export async function transitions(since, id) {
  const asked = new URLSearchParams({ action: "device.health_changed", since: new Date(since).toISOString(), limit: 200 });
  if (id !== undefined) asked.set("object_id", id);
  const found = new Map();
  for (let page = 0, before = null; page < PAGES; page += 1) {
    if (before) asked.set("before_seq", before);
    const answer = await get(`/events?${asked}`);
    for (const entry of answer.entries) {
      if (!found.has(entry.object_id)) found.set(entry.object_id, []);
      found.get(entry.object_id).push({ at: Date.parse(entry.occurred_at), from: String(entry.metadata.from), to: String(entry.metadata.to) });
    }
    before = answer.next_before_seq;
    if (!answer.has_more) break;
  }
  for (const each of found.values()) each.sort((a, b) => a.at - b.at);
  return found;
}

/** `[start, end, state]` over a window; null is the time before anything was known. */
export function spans(device, changes, start, end) {
  const seen = Math.min(Date.parse(device.first_seen), changes[0]?.at ?? Infinity), found = [];
  let at = start, state = changes.length ? changes[0].from : Date.parse(device.state_since) <= start ? device.state : device.reported ?? device.state;
  if (seen > start) { found.push([start, Math.min(seen, end), null]); at = Math.min(seen, end); }
  for (const change of changes) {
    if (change.at > at) { found.push([at, Math.min(change.at, end), state]); at = change.at; }
    state = change.to;
  }
  if (at < end) found.push([at, end, state]);
  return found;
}

/** The share of known time that was up; null where nothing is known. */
export function share(found) {
  let up = 0, down = 0;
  for (const [from, to, state] of found) if (UP.has(state)) up += to - from; else if (state === "offline") down += to - from;
  return up + down ? up / (up + down) : null;
}

/** A bar of a device's states over a window, with its meaning in words. */
export function timeline(device, changes, { start = Date.now() - DAY, end = Date.now(), className = "heartbeat" } = {}) {
  const found = spans(device, changes, start, end), part = share(found), width = 1000;
  const place = moment => (moment - start) / (end - start) * width;
  const text = t("heartbeatOf", { name: device.display_name, share: part === null ? t("unknownShare") : percent(part) });
  return h("div", { class: className, role: "img", "aria-label": text, title: text },
    s("svg", { viewBox: `0 0 ${width} 10`, preserveAspectRatio: "none" }, found.map(([from, to, state]) => {
      // A short outage is still to be seen.
      const size = Math.max(state === "offline" || state === "suspect" ? 6 : 0, place(to) - place(from));
      return s("rect", { x: Math.min(place(from), width - size), y: state === "offline" ? 0 : state === null || state === "unknown" ? 4 : 2, width: size, height: state === "offline" ? 10 : state === null || state === "unknown" ? 2 : 6, class: `beat-${state ?? "none"}` },
        s("title", {}, `${state ? sayText("state", state) : t("unknownShare")} · ${short(from)} – ${short(to)}`));
    })));
}
