// One sentence for an entry, as nodes: its message where it has one, else composed of its fields in
// the reader's language. The same rules as the command line's, which knows English only.
import { bdi, plain } from "./dom.js";
import { rich, t, tr, word, sayText } from "./i18n.js";
import { short, number, list } from "./format.js";

const MISSED = new Set(["failure", "denied"]);
const ALIKE = { logged_in: "login", signed_in: "login", logged_out: "logout", signed_out: "logout" };
const BAD_ENDS = new Set(["crashed", "expired", "failed", "timed_out"]);
const FIELDS_SHOWN = 5, VALUE_MAX = 60;

const name = text => bdi(text, { class: "name" });
const spoken = text => plain(text.replaceAll(/[_-]/g, " "));

/** What to call a principal, as text; null where there is none. */
export function called(who) {
  if (!who) return null;
  if (who.name) return who.name;
  if (who.id && who.type && (who.type !== "user" || /^\d+$/.test(who.id))) return `${spoken(who.type)} ${who.id}`;
  return who.id ?? who.email ?? who.role ?? who.type ?? null;
}
const whoOf = entry => { const found = called(entry.actor); return found === null ? t("somebody") : name(found); };
const deviceOf = entry => { const found = entry.object_name ?? entry.object_id; return found ? name(found) : t("aDevice"); };
const countOf = entry => { const n = entry.metadata.count; return Number.isInteger(n) ? t("entries", { n }).replace(String(n), number(n)) : t("entries", { n: 2 }).replace("2", "?"); };
const colon = text => typeof text === "string" && text ? [": ", bdi(text)] : "";

const own = (key, params = {}) => {
  const found = word("own")[key] ?? "";
  const text = typeof found === "string" ? found : found[new Intl.PluralRules(document.documentElement.lang || "en").select(params.n)] ?? found.other;
  return rich(text, params);
};
const always = key => () => own(key);
const ofDevice = key => entry => own(key, { device: deviceOf(entry) });
const counted = key => entry => own(key, { who: whoOf(entry), count: countOf(entry), why: reasonOf(entry.metadata.cause) });
const ofKey = key => entry => own(key, { who: whoOf(entry), key: entry.object_name ?? entry.object_id ? name(entry.object_name ?? entry.object_id) : t("aKey") });
const reasonOf = text => typeof text === "string" && text ? [" (", bdi(spoken(text)), ")"] : "";

function health(entry) {
  const { from, to, attempts: n } = entry.metadata, device = deviceOf(entry), key = "device.health_changed";
  if (to === "offline") return Number.isInteger(n) && n > 0 ? own(key + ".offline.n", { device, n }) : own(key + ".offline", { device });
  if (to === "suspect") return own(key + ".suspect", { device });
  if (to === "online") return own(key + (from === "offline" || from === "suspect" ? ".back" : ".online"), { device });
  return own(key, { device, state: plain(sayText("state", String(to ?? "?"))) });
}

function started(entry) {
  const { previous, from } = entry.metadata;
  if (previous === "first") return own("collector.started.first");
  if (previous !== "unclean") return own("collector.started");
  return own("collector.started.unclean", { gap: typeof from === "string" && !isNaN(new Date(from)) ? own("collector.started.gap", { when: short(from) }) : "" });
}

/** Every action of the daemon's own, and how it is told. A test holds the keys equal to its list. */
export const OWN = {
  "auth.denied": entry => own("auth.denied", { who: whoOf(entry), what: bdi(entry.metadata.operation ?? entry.metadata.path ?? t("access")) }),
  "clock.stepped": entry => {
    const by = entry.metadata.seconds ?? entry.metadata.step ?? entry.metadata.by;
    return own("clock.stepped", { by: typeof by === "number" ? ` (${number(by, { signDisplay: "always", style: "unit", unit: "second" })})` : "" });
  },
  "collector.started": started,
  "collector.stopping": always("collector.stopping"),
  "config.rejected": ({ metadata: { path, reason, mistakes: n } }) => own("config.rejected", { why: [...colon(path), ...colon(reason), n > 1 ? ` (+${number(n - 1)})` : ""] }),
  "config.reloaded": always("config.reloaded"),
  "device.discovered": entry => own("device.discovered" + (entry.metadata.returned ? ".returned" : entry.metadata.initial ? ".initial" : ""), { device: deviceOf(entry) }),
  "device.flapping": ofDevice("device.flapping"),
  "device.health_changed": health,
  "device.lost": entry => own("device.lost", { device: deviceOf(entry), why: word("own")["device.lost." + entry.metadata.reason] ?? "" }),
  "device.restarted": ofDevice("device.restarted"),
  "device.updated": entry => {
    const fields = Array.isArray(entry.metadata.changed) ? entry.metadata.changed : (entry.changes ?? []).map(each => each.field);
    return own("device.updated", { device: deviceOf(entry), fields: fields.length ? ": " + names(fields) : "" });
  },
  "events.cleared": counted("events.cleared"),
  "events.exported": counted("events.exported"),
  "events.lost": counted("events.lost"),
  "events.pruned": counted("events.pruned"),
  "key.created": ofKey("key.created"),
  "key.revoked": ofKey("key.revoked"),
  "network.restored": always("network.restored"),
  "network.unobservable": entry => {
    const { failing, online } = entry.metadata;
    return Number.isInteger(failing) && Number.isInteger(online) ? own("network.unobservable.n", { failing: number(failing), online: number(online) }) : own("network.unobservable");
  },
  "settings.updated": entry => [...own("settings.updated", { who: whoOf(entry), what: objectOf(entry) ?? nounOf(entry) }), ...(limits(entry) ?? difference(entry))],
  "storage.full": always("storage.full"),
  "storage.quarantined": always("storage.quarantined"),
  "storage.recovered": always("storage.recovered"),
};
// What somebody does: where that failed or was denied, these would claim that it was done.
const DEEDS = new Set(["config.reloaded", "events.cleared", "events.exported", "events.pruned", "key.created", "key.revoked", "settings.updated"]);

/** The sentence of an entry as a list of nodes; never empty. */
export function sentence(entry) {
  if (entry.message) return [bdi(entry.message)];
  const tell = Object.hasOwn(OWN, entry.action) ? OWN[entry.action] : undefined;
  return tell && !(DEEDS.has(entry.action) && MISSED.has(entry.outcome)) ? tell(entry) : compose(entry);
}

/** The sentence as text, for titles and labels. */
export const sentenceText = entry => sentence(entry).map(part => part.textContent ?? part).join("");

function compose(entry) {
  const actor = called(entry.actor), who = actor === null ? null : name(actor), what = objectOf(entry);
  const last = entry.action.slice(entry.action.lastIndexOf(".") + 1), missed = MISSED.has(entry.outcome);
  const ends = word("ends")[last];
  if (ends) return [...rich(ends, { what: what ?? nounOf(entry) }), ...(actor === null ? [] : [" (", who, ")"]), ...ended(entry, last), ...reason(entry)];
  const alone = word("alone")[ALIKE[last] ?? last];
  if (alone) {
    const forms = alone.split("|"), form = entry.outcome === "denied" ? forms[1] : entry.outcome === "failure" ? forms[2] : forms[0];
    return [...rich(form, { who: who ?? what ?? t("somebody") }), ...target(entry, "to"), ...(missed ? reason(entry) : [])];
  }
  const verb = verbOf(last);
  if (!verb) return unknown(entry, who, what);
  const [past, base, link] = verb, params = { who: who ?? t("somebody"), what: what ?? nounOf(entry), past, base };
  const told = entry.outcome === "denied" ? [...tr("denied", params), ...target(entry, link), ...required(entry)]
    : entry.outcome === "failure" ? [...tr("failedTo", params), ...target(entry, link), ...reason(entry)]
    : [...tr(who === null ? "passive" : "done", params), ...target(entry, link), ...difference(entry)];
  return entry.outcome === "unknown" ? [...told, t("unsure")] : told;
}

/** The outcome of what ends by itself, where the word does not say it. */
function ended({ outcome }, last) {
  return outcome === "denied" || (outcome === "failure" && !BAD_ENDS.has(last)) ? [" (", sayText("outcome", outcome), ")"] : [];
}

function verbOf(last) {
  const found = Object.hasOwn(word("verbs"), last) ? word("verbs")[last] : undefined;
  if (found) return found.split("|");
  const past = spoken(last);
  return word("links") === true && last.endsWith("ed") && last.length > 3 && document.documentElement.lang === "en" ? [past, `have it ${past}:`] : null;
}

function unknown(entry, who, what) {
  const about = spoken(entry.action.replaceAll(".", " "));
  const end = entry.outcome === "failure" ? t("hasFailed") : entry.outcome === "denied" ? t("wasDenied") : "";
  return [...(who ? [who, ": "] : []), about, ...(what ? [" ", ...what] : []), end, ...(entry.outcome === "failure" ? reason(entry) : [])];
}

function objectOf(entry) {
  const id = entry.object_name ?? entry.object_id, kind = entry.object_type ? spoken(entry.object_type) : null;
  if (kind === "device" && id) return [name(id)];
  if (!kind && !id) return null;
  return [...(kind ? [bdi(kind)] : []), ...(kind && id ? [" "] : []), ...(id ? [name(id)] : [])];
}
const nounOf = entry => spoken(entry.action.slice(0, Math.max(0, entry.action.lastIndexOf("."))).replaceAll(".", " ")) || t("something");

function target(entry, link = "for") {
  const found = called(entry.target);
  if (found === null) return [];
  return [document.documentElement.lang === "en" ? ` ${link} ` : " → ", name(found)];
}

function difference(entry) {
  const { from, to, path, field, key } = entry.metadata;
  if (scalar(from) && scalar(to) && !(from == null && to == null)) {
    const about = [path, field, key].find(each => typeof each === "string" && each);
    return [": ", ...(about ? [bdi(about), " "] : []), value(from), " → ", value(to)];
  }
  const changes = entry.change_type === "update" ? entry.changes ?? [] : [];
  if (changes.length === 1 && scalar(changes[0].old) && scalar(changes[0].new))
    return [": ", bdi(changes[0].field), " ", value(changes[0].old), " → ", value(changes[0].new)];
  return changes.length ? [": ", names(changes.map(each => each.field))] : [];
}
// Of retention: `changes` maps a limit to what it was and is.
const LIMITS = { enabled: "enabled", max_days: "maxDays", max_entries: "maxEntries", max_bytes: "maxBytes" };
function limits({ metadata: { changes } }) {
  if (changes === null || typeof changes !== "object" || Array.isArray(changes)) return null;
  const told = Object.entries(changes).filter(([, each]) => each !== null && typeof each === "object");
  if (!told.length) return null;
  return told.slice(0, 2).flatMap(([key, { from, to }], at) => [at ? "; " : ": ", Object.hasOwn(LIMITS, key) ? t(LIMITS[key]) : bdi(key), ...(scalar(from) && scalar(to) ? [" ", value(from), " → ", value(to)] : [])]);
}
const scalar = each => each === null || each === undefined || typeof each !== "object";
function value(each) {
  if (each === null || each === undefined || each === "") return t("nothing");
  if (typeof each === "boolean") return t(each ? "on" : "off");
  if (typeof each === "number") return number(each);
  return bdi(each.length > VALUE_MAX ? each.slice(0, VALUE_MAX - 1) + "…" : each, { class: "value" });
}

function reason(entry) {
  const { error_keys: keys, error_code: code } = entry.metadata;
  if (Array.isArray(keys) && keys.length) return [t("invalid", { fields: names(keys) })];
  return typeof code === "string" || typeof code === "number" ? [" (", bdi(String(code)), ")"] : [];
}
function required(entry) {
  const needed = entry.metadata.required, role = Array.isArray(needed) ? names(needed) : needed;
  return typeof role === "string" && role ? [t("needs", { role: plain(role) })] : [];
}
const names = fields => {
  const shown = fields.slice(0, FIELDS_SHOWN).map(each => plain(String(each))), more = fields.length - shown.length;
  return more > 0 ? `${shown.join(", ")} +${more}` : list(shown);
};
