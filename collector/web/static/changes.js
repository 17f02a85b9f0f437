// The Changes tab: the history of audited resources, found in the OpenAPI document and nowhere else.
import { bdi, h, replace } from "./dom.js";
import { auditedResources, get } from "./api.js";
import { sayText, t } from "./i18n.js";
import { ago, exact } from "./format.js";
import { onLive } from "./live.js";
import { withQuery } from "./router.js";

const PAGE = 50, FIELDS = 4;

/** A table of changesets; each opens in the drawer. `named`: with the object's id. */
export function changesets(items, resource, { named = true } = {}) {
  const title = field => Object.hasOwn(resource.labels, field) ? resource.labels[field] : field;
  return h("table", { class: "table changes-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("when")), h("th", { scope: "col" }, t("kind")), named ? h("th", { scope: "col" }, t("object")) : null, h("th", { scope: "col" }, t("fields")), h("th", { scope: "col" }, t("actor")))),
    h("tbody", {}, items.map(item => {
      const fields = Object.entries(item.fields);
      return h("tr", {}, h("td", { class: "col-when" }, h("a", { href: withQuery({ entry: item.seq }) }, h("time", { datetime: item.changed_at, title: exact(item.changed_at) }, ago(item.changed_at)))),
        h("td", {}, h("span", { class: `kind kind-${item.change_type}` }, sayText("change_type", item.change_type))),
        named ? h("td", {}, h("a", { href: `/changes/${resource.slug}?${new URLSearchParams({ object_id: item.object_id })}` }, bdi(item.object_id))) : null,
        h("td", { class: "col-fields" }, fields.slice(0, FIELDS).map(([field, [old, now]], at) => [at ? ", " : null, h("span", { class: "changed" }, bdi(title(field))), item.change_type === "update" && brief(old, now)]), fields.length > FIELDS ? ` +${fields.length - FIELDS}` : null),
        h("td", { class: "col-actor" }, item.actor === null ? h("span", { class: "dim" }, t("imported")) : bdi(item.actor)));
    })));
}

const SHORT = 28;
const small = each => each === null || each === undefined ? "–" : typeof each === "boolean" ? t(each ? "yes" : "no") : Array.isArray(each) && each.every(part => typeof part !== "object") ? each.join(", ") : typeof each === "object" ? null : String(each);
function brief(old, now) {
  const [from, to] = [small(old), small(now)];
  if (from === null || to === null || from.length > SHORT || to.length > SHORT) return null;
  return [" ", bdi(from, { class: "old" }), " → ", bdi(to, { class: "new" })];
}

export function changes(route) {
  const tabs = h("nav", { class: "presets", "aria-label": t("changesOf") }), head = h("div", { class: "changes-head" }), place = h("div", { class: "table-place" });
  const node = h("div", { class: "view changes" }, h("h1", { class: "unseen" }, t("tab.changes")), h("div", { class: "bar" }, tabs), head, place);
  let shown = null, items = [], next = null, resource = null, left = false;

  async function update({ path, query }) {
    let resources;
    try { resources = await auditedResources(); } catch (error) { replace(place, h("p", { class: "hint" }, t("failed", { why: error.message }))); return; }
    if (left) return;
    const slug = decodeURIComponent(path.split("/")[2] ?? "");
    // What people keep comes before what the daemon keeps of its own.
    const sorted = [...resources].sort((a, b) => (a.slug === "devices") - (b.slug === "devices") || a.slug.localeCompare(b.slug));
    resource = sorted.find(each => each.slug === slug) ?? sorted[0];
    if (!resource) { replace(place, h("div", { class: "empty" }, h("h2", {}, t("noResources")), h("p", {}, t("noResourcesText")), h("pre", {}, example))); return; }
    replace(tabs, sorted.map(each => h("a", { class: "preset", href: `/changes/${each.slug}`, "aria-current": each === resource ? "true" : undefined }, bdi(each.slug))));
    const object = query.get("object_id"), key = `${resource.slug}|${object}`;
    replace(head, object ? [h("h2", {}, t("objectHistory", { name: "" }), bdi(object)), h("a", { class: "chip", href: `/changes/${resource.slug}` }, t("everyObject"))] : null);
    if (key === shown) { draw(); return; }
    shown = key;
    items = [];
    next = null;
    await load(object);
  }

  async function load(object = new URLSearchParams(location.search).get("object_id")) {
    const asked = new URLSearchParams({ limit: PAGE }), key = shown;
    if (object) asked.set("object_id", object);
    if (next) asked.set("before_seq", next);
    try {
      const page = await get(`${resource.path}?${asked}`);
      if (left || key !== shown) return;
      items = [...items, ...page.items];
      next = page.has_more ? page.next_before_seq : null;
      draw();
    } catch (error) { if (!left) replace(place, h("p", { class: "hint" }, t("failed", { why: error.message }))); }
  }

  function draw() {
    replace(place, items.length ? changesets(items, resource, { named: !new URLSearchParams(location.search).get("object_id") })
      : h("div", { class: "empty" }, h("h2", {}, t("noChanges")), h("p", {}, t("noChangesText")), h("pre", {}, `{"action": "${resource.object_type}.updated", "object_type": "${resource.object_type}",\n "object_id": "1", "record": {"name": "…"}}`)),
      next ? h("div", { class: "feed-more" }, h("button", { type: "button", class: "quiet", on: { click: () => load() } }, t("more"))) : null);
  }

  const off = onLive(message => {
    const fresh = message.entries?.filter(entry => entry.changes && entry.object_type === resource?.object_type) ?? [];
    const object = new URLSearchParams(location.search).get("object_id");
    const made = fresh.filter(entry => !object || entry.object_id === object).map(entry => ({ id: entry.id, seq: entry.seq, object_id: entry.object_id ?? "", changed_at: entry.occurred_at, actor: entry.actor?.name ?? entry.actor?.id ?? null, change_type: entry.change_type, fields: Object.fromEntries(entry.changes.map(each => [each.field, [each.old, each.new]])) }));
    if (made.length) { items = [...made.reverse(), ...items]; draw(); }
    if (message.kind === "reset") { shown = null; update({ path: location.pathname, query: new URLSearchParams(location.search) }); }
  });
  update(route);
  return { node, update, title: t("tab.changes"), keys: {}, leave() { left = true; off(); } };
}

const example = '[[resources]]\nslug = "categories"\nobject_type = "category"\naudit = true';
