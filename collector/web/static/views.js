// Presets, and the views that somebody saved in this browser: a name and an address.
import { h, icon, plain, toast } from "./dom.js";
import { t, sayText } from "./i18n.js";
import { filtersOf } from "./filters.js";

const STORED = "collector.views", MOST = 30;
const PRESETS = { all: "", today: "since=today", errors: "severity=error", auth: "category=auth", devices: "category=device" };

const read = () => { try { return JSON.parse(localStorage.getItem(STORED)) ?? []; } catch { return []; } };
const write = views => { try { localStorage.setItem(STORED, JSON.stringify(views.slice(-MOST))); } catch { /* not kept */ } };

const same = (query, text) => filtersOf(query).toString() === filtersOf(new URLSearchParams(text)).toString();
const tab = (name, query, text) => h("a", { class: "preset", href: "/activity" + (text ? "?" + text : ""), "aria-current": same(query, text) ? "true" : undefined }, name);

/** The row of presets and saved views; `redraw` is called when a view was saved or removed. */
export function presets(query, redraw) {
  const saved = read();
  return [
    Object.entries(PRESETS).map(([name, text]) => tab(sayText("preset", name), query, text)),
    saved.map(({ name, text }) => h("span", { class: "saved" }, tab(h("bdi", {}, plain(name)), query, text),
      h("button", { type: "button", class: "bare", "aria-label": t("removeView", { name: plain(name) }), on: { click: () => { write(read().filter(each => each.name !== name)); redraw(); } } }, icon("close")))),
  ];
}

/** Asks for a name and saves the filters of this address under it. */
export function saveView(redraw) {
  const input = h("input", { type: "text", required: true, maxlength: 40, "aria-label": t("viewName"), placeholder: t("viewName") });
  const dialog = h("dialog", { class: "small", "aria-label": t("saveView") }, h("form", {
    method: "dialog", on: { submit: () => {
      const text = filtersOf(new URLSearchParams(location.search)).toString(), name = input.value.trim();
      if (!name) return;
      write([...read().filter(each => each.name !== name), { name, text }]);
      toast(t("viewSaved"));
      redraw();
    } },
  }, h("h2", {}, t("saveView")), input, h("div", { class: "buttons" },
    h("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, t("cancel")), h("button", { class: "strong" }, t("save")))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

