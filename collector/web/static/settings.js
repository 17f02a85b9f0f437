// The Settings tab. What the role may not do is not offered.
import { bdi, debounce, h, plain, replace, s, toast } from "./dom.js";
import { del, exportUrl, get, post, put, session } from "./api.js";
import { LANGUAGES, lang, sayText, speak, t } from "./i18n.js";
import { bytes, dayMonth, number, span, DAY } from "./format.js";
import { definition } from "./drawer.js";
import { filtersOf, forApi } from "./filters.js";
import { chosenChips } from "./chips.js";
import { keysPanel } from "./keys.js";

const MIB = 1 << 20, GROWTH_DAYS = 30, PREVIEW_WAIT = 400, CATEGORIES = ["entity", "auth", "device", "capture", "system"];

export function settings(route, { restart }) {
  const node = h("div", { class: "view settings" }, h("h1", { class: "unseen" }, t("tab.settings")));
  const panel = (title, hint, ...content) => h("section", { class: "panel" }, h("header", {}, h("h2", {}, title)), hint ? h("p", { class: "hint" }, hint) : null, content);
  const storage = h("section", { class: "panel" }), retention = h("section", { class: "panel" });
  let left = false;

  node.append(h("div", { class: "columns even" },
    h("div", {}, appearance(panel, restart), session.whole ? storage : "", session.admin ? keysPanel() : ""),
    h("div", {}, session.whole ? retention : "", exporting(panel, route), session.admin ? clearing(panel) : "")));
  if (session.whole) { drawStorage(); drawRetention(); }

  async function drawStorage() {
    try {
      const since = new Date(Date.now() - GROWTH_DAYS * DAY);
      const [status, stats] = await Promise.all([get("/status"), get(`/stats?by=severity&bucket=day&since=${since.toISOString().slice(0, 10)}`)]);
      if (left) return;
      const { journal } = status, held = journal.entries ?? 0, each = held ? journal.bytes / held : 0;
      const days = Array.from({ length: GROWTH_DAYS + 1 }, (_, at) => new Date(Date.now() - (GROWTH_DAYS - at) * DAY).toISOString().slice(0, 10));
      const counts = days.map(day => stats.counts.filter(count => count.bucket?.startsWith(day)).reduce((all, { count }) => all + count, 0));
      const most = Math.max(1, ...counts), recent = counts.slice(-8, -1), mean = recent.reduce((all, n) => all + n, 0) / 7;
      replace(storage, h("header", {}, h("h2", {}, t("storage"))), definition([
        [t("used"), bytes(journal.bytes)], [t("entriesLabel"), number(held)], [t("perEntry"), held > 1000 ? number(Math.round(each)) : "–"], [t("free"), bytes(journal.free_bytes)], [t("wal"), bytes(journal.wal_bytes)],
        [t("uptimeLabel"), span(status.uptime * 1000)], [t("journal"), h("code", {}, plain(status.database))]]),
        h("h3", {}, t("growth")), h("div", { class: "growth", role: "img", "aria-label": `${t("growth")}: ${number(most)}` }, s("svg", { viewBox: `0 0 ${counts.length} 40`, preserveAspectRatio: "none" },
          counts.map((n, at) => s("rect", { x: at + 0.1, width: 0.8, y: 40 - n / most * 38, height: n / most * 38, class: "bar-info" }, s("title", {}, `${dayMonth(days[at])} · ${number(n)}`))))),
        held > 1000 && mean ? h("p", { class: "hint" }, t("grows", { size: bytes(mean * each) })) : null);
    } catch (error) { replace(storage, h("p", { class: "hint" }, t("failed", { why: error.message }))); }
  }

  async function drawRetention(found) {
    try { found ??= await get("/settings/retention"); } catch (error) { replace(retention, h("p", { class: "hint" }, t("failed", { why: error.message }))); return; }
    if (left) return;
    const field = (name, value, max, more) => h("input", { type: "number", id: `retention-${name}`, min: 0, max, step: 1, inputmode: "numeric", value: String(value), disabled: !session.admin, ...more });
    const enabled = h("input", { type: "checkbox", checked: found.enabled, disabled: !session.admin });
    const days = field("days", found.max_days, 3650), entries = field("entries", found.max_entries, 100_000_000), size = field("bytes", Math.round(found.max_bytes / MIB), 1 << 30);
    const names = [...new Set([...CATEGORIES, ...Object.keys(found.categories)])];
    const own = new Map(names.map(name => [name, field(`days-${name}`, found.categories[name]?.max_days ?? "", 3650, { placeholder: "–" })]));
    const preview = h("p", { class: "preview", role: "status" });
    const labelled = (text, input) => h("div", { class: "field" }, h("label", { for: input.id }, text), input);
    const wanted = () => ({
      enabled: enabled.checked, max_days: Number(days.value), max_entries: Number(entries.value),
      // Untouched, the exact number of bytes stays what it was.
      max_bytes: Number(size.value) === Math.round(found.max_bytes / MIB) ? found.max_bytes : Number(size.value) * MIB,
      categories: Object.fromEntries([...own].filter(([, input]) => input.value !== "").map(([name, input]) => [name, { max_days: Number(input.value) }])),
    });
    const look = debounce(async () => {
      if (!form.checkValidity()) { preview.textContent = ""; return; }
      try {
        const { count: n } = await post("/settings/retention/preview", wanted());
        preview.classList.toggle("warns", n > 0);
        preview.textContent = n > 0 ? t("wouldRemove", { n }).replace(String(n), number(n)) : t("wouldKeep");
      } catch (error) { preview.textContent = t("failed", { why: error.message }); }
    }, PREVIEW_WAIT);
    const form = h("form", { on: { input: look, submit: async event => {
      event.preventDefault();
      try { const saved = await put("/settings/retention", wanted()); toast(t("saved")); drawRetention(saved); drawStorage(); } catch (error) { preview.textContent = t("failed", { why: error.message }); }
    } } },
      h("label", { class: "check" }, enabled, t("enabled")), h("div", { class: "fields" }, labelled(t("maxDays"), days), labelled(t("maxEntries"), entries), labelled(t("maxBytes"), size)),
      h("h3", {}, t("perCategory")), h("p", { class: "hint" }, t("perCategoryHint")), h("div", { class: "fields" }, [...own].map(([name, input]) => labelled(bdi(sayText("category", name)), input))),
      session.admin ? [preview, h("div", { class: "buttons" }, h("button", { class: "strong" }, t("save")), found.override ? h("button", { type: "button", class: "quiet", on: { click: async () => { try { drawRetention(await del("/settings/retention")); toast(t("saved")); } catch (error) { preview.textContent = error.message; } } } }, t("useFile")) : null)]
        : h("p", { class: "hint" }, t("viewerHint")));
    replace(retention, h("header", {}, h("h2", {}, t("retention"))), h("p", { class: "hint" }, t("retentionHint"), " ", t(found.override ? "overridden" : "fromFile")), form);
  }

  return { node, title: t("tab.settings"), keys: {}, update() {}, leave() { left = true; } };
}

function appearance(panel, restart) {
  const pick = (id, label, options, value, work) => h("div", { class: "field" }, h("label", { for: id }, label), h("select", { id, on: { change: event => work(event.target.value) } },
    Object.entries(options).map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
  const theme = document.documentElement.dataset.theme ?? "system", themes = { system: sayText("themes", "system"), light: sayText("themes", "light"), dark: sayText("themes", "dark") };
  return panel(t("appearance"), null, h("div", { class: "fields" },
    pick("language", t("language"), LANGUAGES, lang(), async code => { await speak(code); restart(); document.getElementById("language")?.focus(); }),
    pick("theme", t("theme"), themes, theme, chosen => {
      if (chosen === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = chosen;
      try { chosen === "system" ? localStorage.removeItem("collector.theme") : localStorage.setItem("collector.theme", chosen); } catch { /* for this visit */ }
    })));
}

function exporting(panel, { query }) {
  const filters = filtersOf(query), some = filters.toString() !== "";
  return panel(t("exportTitle"), t(some ? "exportHint" : "exportAll"), some ? h("div", { class: "chosen-chips" }, chosenChips(query)) : null,
    session.known && session.reader ? h("div", { class: "buttons" }, ["csv", "json", "ndjson"].map(format => h("a", { class: "button", href: exportUrl(new URLSearchParams([["format", format], ...forApi(query)])), download: `events.${format}` }, format.toUpperCase())))
      : h("p", { class: "hint" }, t("exportLogin")));
}

function clearing(panel) {
  const word = t("clearWord"), button = h("button", { class: "danger", disabled: true }, t("clearDo"));
  const input = h("input", { type: "text", id: "clear-word", autocomplete: "off", on: { input: () => { button.disabled = input.value.trim().toLowerCase() !== word; } } });
  return panel(t("clearTitle"), t("clearHint"), h("form", { on: { submit: async event => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    try { const { count } = await del("/events?confirm=clear"); toast(t("cleared", { n: count }).replace(String(count), number(count))); input.value = ""; } catch (error) { toast(t("failed", { why: error.message })); button.disabled = false; }
  } } }, h("div", { class: "field" }, h("label", { for: "clear-word" }, t("clearType", { word })), input), h("div", { class: "buttons" }, button)));
}
