// Filters as chips: one for each dimension, which opens the values there are with their counts, and
// one for each value that is chosen, which takes it away.
import { h, icon, plain, replace } from "./dom.js";
import { get } from "./api.js";
import { sayText, t } from "./i18n.js";
import { number, precise } from "./format.js";
import { DIMENSIONS, OTHERS, forApi, momentOf } from "./filters.js";
import { go, withQuery } from "./router.js";

const CLOSED = new Set(["category", "outcome", "severity", "source"]);
/** A value of a dimension as people say it. */
export const valueText = (name, value) => CLOSED.has(name) ? sayText(name, value) : value;

/** What is chosen, each with its way out; null where nothing is. */
export function chosenChips(query) {
  const found = [...DIMENSIONS, ...OTHERS].flatMap(name => query.getAll(name).filter(Boolean).map(value => chip(query, name, value)));
  for (const name of ["since", "until"]) if (query.get(name)) {
    const value = query.get(name), moment = momentOf(value);
    found.push(removable(name, value === "today" ? t("today") : moment === null ? value : precise(moment).replace(/[,:.]\d{2}[.,]\d{3}.*/, ""), withQuery({ [name]: null, entry: null })));
  }
  return found.length ? found : null;
}

const chip = (query, name, value) => removable(name, valueText(name, value),
  withQuery({ [name]: query.getAll(name).filter(each => each !== value), entry: null }));

const removable = (name, value, href) => h("a", { class: "chip chosen-chip", href, "aria-label": t("removeFilter", { name: sayText("facet", name), value: plain(value) }) },
  h("span", { class: "dim" }, sayText("facet", name)), h("bdi", {}, plain(value)), icon("close"));

/** The button of a dimension and what it opens. */
export function facetButton(name, query) {
  const n = query.getAll(name).filter(Boolean).length;
  const button = h("button", { type: "button", class: `chip facet${n ? " used" : ""}`, "aria-expanded": "false", "aria-haspopup": "dialog", "aria-label": t("addFilter", { name: sayText("facet", name) }) },
    sayText("facet", name), n ? h("span", { class: "count" }, number(n)) : null, icon("down"));
  button.addEventListener("click", () => openFacet(button, name));
  return button;
}

let opened;
/** Closes what is open; true where something was. */
export function closeFacet() {
  if (!opened) return false;
  const { button, box, outside } = opened;
  opened = undefined;
  removeEventListener("pointerdown", outside, true);
  box.remove();
  button.setAttribute("aria-expanded", "false");
  if (button.isConnected) button.focus();
  return true;
}

async function openFacet(button, name) {
  const again = opened?.button === button;
  closeFacet();
  if (again) return;
  const query = new URLSearchParams(location.search);
  const rows = h("div", { class: "facet-values" }, h("p", { class: "hint" }, t("loading")));
  const input = h("input", { type: "text", placeholder: t(CLOSED.has(name) ? "find" : "otherValue"), "aria-label": t(CLOSED.has(name) ? "find" : "otherValue"), maxlength: 200 });
  const form = h("form", { on: { submit: event => { event.preventDefault(); if (!CLOSED.has(name) && input.value.trim()) choose(name, input.value.trim(), true); } } }, input);
  const box = h("div", { class: "popover", role: "dialog", "aria-label": sayText("facet", name) }, form, rows);
  const outside = event => { if (!box.contains(event.target) && !button.contains(event.target)) closeFacet(); };
  opened = { button, box, outside };
  addEventListener("pointerdown", outside, true);
  button.setAttribute("aria-expanded", "true");
  button.after(box);
  const over = box.getBoundingClientRect().right - innerWidth + 8;
  if (over > 0) box.style.setProperty("margin-left", `-${over}px`);
  input.focus();
  let values = [];
  try {
    values = (await get(`/events/facets?${forApi(query, name)}`))[name] ?? [];
  } catch { values = []; }
  const chosen = query.getAll(name);
  for (const value of chosen) if (!values.some(each => each.value === value)) values.unshift({ value, count: 0 });
  const draw = () => {
    const wanted = input.value.trim().toLowerCase();
    const shown = values.filter(({ value }) => !wanted || `${value} ${valueText(name, value)}`.toLowerCase().includes(wanted)).slice(0, 100);
    replace(rows, shown.length ? shown.map(({ value, count }) => h("label", { class: "facet-value" },
      h("input", { type: "checkbox", checked: chosen.includes(value), on: { change: event => choose(name, value, event.target.checked) } }),
      h("bdi", {}, plain(valueText(name, value))), h("span", { class: "count" }, number(count)))) : h("p", { class: "hint" }, t("noValues")));
  };
  input.addEventListener("input", draw);
  draw();
}

function choose(name, value, on) {
  const others = new URLSearchParams(location.search).getAll(name).filter(each => each !== value);
  closeFacet();
  go(withQuery({ [name]: on ? [...others, value] : others, entry: null }));
}
