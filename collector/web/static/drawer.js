// The drawer: one entry with everything that is known of it. Its address is a permalink.
import { bdi, h, icon, plain, plainLines, replace, toast } from "./dom.js";
import { auditedResources, get } from "./api.js";
import { sayText, t } from "./i18n.js";
import { ago, precise, span } from "./format.js";
import { called, sentence } from "./sentence.js";
import { categoryIcon, line, marks } from "./feed.js";
import { differenceTable, value } from "./changeset.js";
import { go, withQuery } from "./router.js";

const LATE = 5 * 60e3, CHAIN = 50;

export class Drawer {
  constructor() {
    this.node = h("aside", { class: "drawer", hidden: true, tabindex: -1, "aria-label": t("details") });
    document.body.append(this.node);
  }

  get open() { return !this.node.hidden; }

  async show(seq) {
    if (seq === this.seq) return;
    if (!this.open) this.back = document.activeElement;
    this.seq = seq;
    this.node.hidden = false;
    document.body.classList.add("has-drawer");
    try {
      const entry = await get(`/events/${encodeURIComponent(seq)}`);
      const labels = await labelsOf(entry);
      if (this.seq !== seq) return;
      replace(this.node, this.head(entry), h("div", { class: "drawer-body" }, this.body(entry, labels)));
    } catch (error) {
      if (this.seq !== seq) return;
      replace(this.node, this.head(null), h("div", { class: "drawer-body" }, h("p", { class: "hint" }, error.status === 404 ? t("entryGone") : t("failed", { why: error.message }))));
    }
    this.node.focus({ preventScroll: true });
  }

  hide() {
    if (!this.open) return;
    this.node.hidden = true;
    this.seq = null;
    document.body.classList.remove("has-drawer");
    if (this.back?.isConnected) this.back.focus({ preventScroll: true });
  }

  close() { go(withQuery({ entry: null })); }

  head(entry) {
    return h("header", { class: "drawer-head" },
      h("span", { class: "seq" }, entry ? `#${entry.seq}` : `#${plain(this.seq)}`),
      entry ? h("button", { type: "button", class: "quiet", on: { click: () => copy(new URL(`/activity?entry=${entry.seq}`, location.href).href) } }, icon("link"), t("permalink")) : null,
      h("button", { type: "button", class: "bare close", "aria-label": t("close"), on: { click: () => this.close() } }, icon("close")));
  }

  body(entry, labels) {
    const late = Date.parse(entry.recorded_at) - Date.parse(entry.occurred_at);
    const chain = h("section", { hidden: true });
    if (entry.correlation_id || entry.causation_id) this.chain(entry, chain);
    return [
      h("h2", { class: "drawer-title" }, categoryIcon(entry.category), h("span", {}, sentence(entry))),
      h("p", { class: "drawer-when" }, precise(entry.occurred_at), h("span", { class: "dim" }, ago(entry.occurred_at)), marks(entry)),
      late > LATE ? h("p", { class: "hint" }, t("late", { span: span(late) })) : null,
      entry.changes?.length ? section(`${t("changes")} · ${sayText("change_type", entry.change_type ?? "update")}`, differenceTable(entry.changes, labels)) : null,
      this.links(entry),
      section(t("details"), facts(entry)),
      section(t("who"), producer(entry.producer)),
      chain,
      Object.keys(entry.metadata).length ? section(t("metadata"), definition(Object.entries(entry.metadata).map(([key, each]) => [bdi(key), value(each)]))) : null,
      raw(entry),
    ];
  }

  links(entry) {
    const links = [];
    if (entry.object_type && entry.object_id) links.push(h("a", { class: "chip", href: `/activity?${new URLSearchParams({ object_type: entry.object_type, object_id: entry.object_id })}` }, t("objectEvents")));
    if (entry.object_type === "device" && entry.object_id) links.push(h("a", { class: "chip", href: `/devices/${encodeURIComponent(entry.object_id)}` }, sayText("category", "device")));
    if (entry.change_type && this.slug) links.push(h("a", { class: "chip", href: `/changes/${this.slug}?${new URLSearchParams({ object_id: entry.object_id })}` }, t("history")));
    return links.length ? h("div", { class: "drawer-links" }, links) : null;
  }

  async chain(entry, place) {
    const found = [];
    try {
      if (entry.causation_id && /^[0-9a-f-]{36}$/i.test(entry.causation_id)) {
        const cause = await get(`/events/${entry.causation_id}`).catch(() => null);
        if (cause) found.push(h("h4", {}, t("cause")), line(cause));
      }
      if (entry.correlation_id) {
        const page = await get(`/events?limit=${CHAIN}&${new URLSearchParams({ correlation_id: entry.correlation_id })}`);
        found.push(h("p", { class: "hint" }, t("chainHint")), h("ol", { class: "chain" }, page.entries.reverse().map(each => h("li", { class: each.seq === entry.seq ? "here" : "" }, line(each)))));
      }
    } catch { return; }
    if (!found.length || this.seq !== String(entry.seq) && this.seq !== entry.id) return;
    place.hidden = false;
    replace(place, h("h3", {}, t("chain")), found);
  }
}

async function labelsOf(entry) {
  if (!entry.changes?.length) return {};
  try {
    const found = (await auditedResources()).find(each => each.object_type === entry.object_type);
    Drawer.prototype.slug = found?.slug;
    return found?.labels ?? {};
  } catch { return {}; }
}

const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

export const definition = rows => h("dl", { class: "facts" }, rows.map(([name, each]) => h("div", {}, h("dt", {}, name), h("dd", {}, each))));

const only = (name, each, shown) => h("a", { href: `/activity?${new URLSearchParams({ [name]: each })}`, title: t("onlyThis") }, shown ?? bdi(each));

function facts(entry) {
  const rows = [["action", only("action", entry.action)], ["category", only("category", entry.category, bdi(sayText("category", entry.category)))], ["outcome", sayText("outcome", entry.outcome)], ["severity", sayText("severity", entry.severity)]];
  for (const name of ["actor", "on_behalf_of", "target"]) if (entry[name]) rows.push([name, person(name, entry[name])]);
  if (entry.object_type || entry.object_id) rows.push(["object", bdi([entry.object_type, entry.object_id, entry.object_name].filter(Boolean).join(" · "))]);
  for (const name of ["channel", "mode", "ip", "tenant_id", "org_id", "correlation_id", "causation_id"]) if (entry[name]) rows.push([name, ["ip", "causation_id"].includes(name) ? bdi(entry[name]) : only(name, entry[name])]);
  rows.push(["source", only("source", entry.source, sayText("source", entry.source))], ["recorded_at", precise(entry.recorded_at)], ["id", h("code", {}, plain(entry.id))]);
  return definition(rows.map(([name, each]) => [sayText("field", name), each]));
}

function person(name, who) {
  const more = [who.type && who.id ? `${who.type}:${who.id}` : who.id, who.role, who.email].filter(each => each && each !== who.name);
  const link = name === "actor" ? only("actor", who.type && who.id ? `${who.type}:${who.id}` : who.id ?? who.name ?? "", bdi(called(who) ?? "")) : bdi(called(who) ?? "");
  return [link, more.length ? h("span", { class: "dim" }, " ", bdi(more.join(" · "))) : null].filter(Boolean);
}

const TITLES = { uid: "uid", gid: "gid", pid: "pid", user: "user", comm: "comm", unit: "unit", key: "key", plugin: "plugin" };
function producer(found) {
  return [
    h("p", { class: `assured assured-${found.assurance}` }, icon(found.assurance === "asserted" ? "alert" : "ok"), sayText("assurance", found.assurance)),
    definition(Object.entries(TITLES).filter(([name]) => found[name] !== undefined && found[name] !== null).map(([name, key]) => [t(key), bdi(found[name])])),
  ];
}

function raw(entry) {
  const text = JSON.stringify(entry, null, 2);
  return h("section", {}, h("details", { class: "raw" }, h("summary", {}, h("h3", {}, t("raw"))),
    h("button", { type: "button", class: "quiet", on: { click: () => copy(text) } }, t("copy")), h("pre", { tabindex: 0 }, plainLines(text))));
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP from another machine has no clipboard: the old way still works.
    const area = h("textarea", { class: "unseen" }, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t("copied"));
}

