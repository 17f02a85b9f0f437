// What is asked for: read from the address, sent to the API, and held against live entries.

export const DIMENSIONS = ["category", "outcome", "severity", "action", "actor", "object_type", "source", "channel", "mode"];
export const OTHERS = ["object_id", "target", "tenant_id", "org_id", "correlation_id"];
const PLAIN = ["category", "outcome", "severity", "object_type", "source", "channel", "mode", "object_id", "tenant_id", "org_id", "correlation_id"];
const NAMES = [...DIMENSIONS, ...OTHERS, "since", "until", "q"];
const DAY = 86400e3;

/** The filters of an address, alone: what else stands there is dropped. */
export function filtersOf(query) {
  const found = new URLSearchParams();
  for (const name of NAMES) for (const value of query.getAll(name)) if (value) found.append(name, value);
  return found;
}

/** As the API wants them: a search needs a word, days are the reader's own and not UTC's. */
export function forApi(query, without) {
  const found = filtersOf(query);
  if (without) found.delete(without);
  const q = searchOf(found.get("q"));
  if (q) found.set("q", q); else found.delete("q");
  for (const name of ["since", "until"]) if (found.has(name)) {
    const moment = momentOf(found.get(name));
    if (moment === null) found.delete(name); else found.set(name, new Date(moment).toISOString());
  }
  return found;
}

/** What is typed, each word found from its beginning: `kit` finds "kitchen". */
export function searchOf(text) {
  return (text ?? "").split(/\s+/).filter(part => /[\p{L}\p{N}]/u.test(part)).slice(0, 16)
    .map(part => /[\p{L}\p{N}]$/u.test(part) ? part + "*" : part).join(" ");
}

/** Milliseconds of `today`, `-24h`, `-7d` or RFC 3339; null for anything else. */
export function momentOf(text, now = Date.now()) {
  if (!text) return null;
  if (text === "today") return new Date(now).setHours(0, 0, 0, 0);
  const back = /^-(\d{1,4})(min|h|d)$/.exec(text);
  if (back) return now - Number(back[1]) * { min: 60e3, h: 3600e3, d: DAY }[back[2]];
  const found = Date.parse(text);
  return Number.isNaN(found) ? null : found;
}

const words = text => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
const isOne = (who, names) => who !== null && (names.includes(who.id) || names.includes(who.name) || (who.id && names.includes(`${who.type ?? ""}:${who.id}`)));

/** A test on entries with the meaning of the API's filters. */
export function matcher(query) {
  const tests = [];
  const given = name => query.getAll(name).filter(Boolean);
  for (const name of PLAIN) { const values = given(name); if (values.length) tests.push(entry => values.includes(entry[name])); }
  for (const name of ["actor", "target"]) { const values = given(name); if (values.length) tests.push(entry => isOne(entry[name], values)); }
  const actions = given("action");
  if (actions.length) tests.push(({ action }) => actions.some(each => each === action || (each.endsWith(".*") && action.startsWith(each.slice(0, -1)))));
  const since = momentOf(query.get("since")), until = momentOf(query.get("until"));
  if (since !== null) tests.push(entry => Date.parse(entry.occurred_at) >= since);
  if (until !== null) tests.push(entry => Date.parse(entry.occurred_at) < until);
  const asked = searchOf(query.get("q")).split(" ").flatMap(part => {
    const found = [...words(part)];
    return found.map((each, at) => ({ each, prefix: at === found.length - 1 && part.endsWith("*") }));
  });
  if (asked.length) tests.push(entry => {
    const { actor } = entry;
    const held = words([entry.action, actor?.type, actor?.id, actor?.name, entry.object_type, entry.object_id, entry.object_name, entry.message, JSON.stringify(entry.metadata)].filter(Boolean).join("\n"));
    return asked.every(({ each, prefix }) => held.has(each) || (prefix && [...held].some(word => word.startsWith(each))));
  });
  return entry => tests.every(test => test(entry));
}
