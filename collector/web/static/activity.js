// The Activity tab: search, filters, the histogram, and the feed.
import { debounce, h, icon, replace } from "./dom.js";
import { t } from "./i18n.js";
import { number } from "./format.js";
import { DIMENSIONS, filtersOf, matcher } from "./filters.js";
import { chosenChips, closeFacet, facetButton } from "./chips.js";
import { presets, saveView } from "./views.js";
import { Histogram } from "./histogram.js";
import { Feed } from "./feed.js";
import { go, withQuery } from "./router.js";
import { onLive } from "./live.js";
import { exportUrl, session } from "./api.js";
import { forApi } from "./filters.js";

const SEARCH_WAIT = 250;

export function activity(route) {
  const search = h("input", { type: "search", class: "search-field", id: "search", placeholder: t("searchHint"), "aria-label": t("search"), maxlength: 400, autocomplete: "off", spellcheck: "false" });
  const type = debounce(() => go(withQuery({ q: search.value.trim() || null, entry: null }), { replace: true }), SEARCH_WAIT);
  search.addEventListener("input", type);
  const views = h("nav", { class: "presets", "aria-label": t("savedViews") }), facets = h("div", { class: "facets", role: "group", "aria-label": t("filters") }), chosen = h("div", { class: "chosen-chips" });
  const total = h("p", { class: "total", role: "status" }), fresh = h("button", { type: "button", class: "fresh", hidden: true });
  const histogram = new Histogram(), empty = h("div", { class: "empty", hidden: true });
  const feed = new Feed(() => changed());
  fresh.addEventListener("click", () => feed.showWaiting());
  const node = h("div", { class: "view activity" }, h("h1", { class: "unseen" }, t("tab.activity")),
    h("div", { class: "bar" }, h("div", { class: "search" }, icon("search"), search), views), histogram.node,
    h("div", { class: "bar second" }, facets, h("div", { class: "totals" }, total)), chosen, h("div", { class: "fresh-place" }, fresh), empty, feed.node);

  let filters = null;
  function changed() {
    const n = feed.waiting?.length ?? 0;
    fresh.hidden = n === 0;
    if (n) replace(fresh, icon("down", { class: "icon up" }), t("newEntries", { n }).replace(String(n), number(n)));
    total.textContent = feed.total ?? "";
    const none = !feed.busy && !feed.failed && feed.entries?.length === 0;
    empty.hidden = !none;
    if (none) replace(empty, filters ? [h("h2", {}, t("emptyFeed")), h("p", {}, t("emptyFeedHint")), h("a", { class: "button", href: "/activity" }, t("clearFilters"))]
      : [h("h2", {}, t("emptyJournal")), h("p", {}, t("emptyJournalHint")), h("pre", {}, "collector emit hello.said -m 'Hello'")]);
  }

  function update({ query }) {
    const asked = filtersOf(query).toString();
    if (document.activeElement !== search) search.value = query.get("q") ?? "";
    replace(views, presets(query, () => update({ query })),
      asked ? h("button", { type: "button", class: "preset quiet-preset", on: { click: () => saveView(() => update({ query })) } }, icon("star"), t("saveView")) : null);
    replace(facets, DIMENSIONS.map(name => h("div", { class: "facet-place" }, facetButton(name, query))));
    const chips = chosenChips(query);
    replace(chosen, chips, chips ? h("a", { class: "chip clear", href: withQuery({ q: query.get("q") }, "/activity", "") }, t("clearFilters")) : null,
      session.known && session.reader && asked ? h("a", { class: "chip clear", href: exportUrl(`format=csv&${forApi(query)}`), download: "events.csv" }, "CSV") : null);
    const key = asked + "|" + (query.get("span") ?? "");
    if (key !== node.dataset.histogram) { node.dataset.histogram = key; histogram.update(query); }
    if (asked !== filters) {
      filters = asked;
      feed.total = "";
      feed.selected = null;
      if (feed.entries) scrollTo({ top: 0 });
      feed.reset(query);
    } else {
      for (const link of feed.node.querySelectorAll("a.line")) link.setAttribute("href", withQuery({ entry: link.dataset.seq }));
      if (!query.has("entry")) feed.release();
    }
    passes = matcher(query);
  }

  let passes = () => false;
  const off = onLive(message => {
    if (message.kind === "entries") { feed.hear(message.entries); histogram.hear(message.entries.filter(passes)); }
    if (message.kind === "reset") { filters = null; update({ query: new URLSearchParams(location.search) }); }
  });
  update(route);
  return {
    node, update, title: t("tab.activity"),
    keys: { j: () => feed.step(1), k: () => feed.step(-1), "/": () => { search.focus(); search.select(); }, Escape: () => closeFacet() || (document.activeElement === search ? (search.blur(), true) : (document.activeElement?.blur?.(), feed.release(), false)) },
    leave() { off(); feed.leave(); closeFacet(); },
  };
}
