// A difference as a table: field, old, new; titles from the configuration where it has them.
import { bdi, h, plainLines } from "./dom.js";
import { t } from "./i18n.js";
import { number } from "./format.js";

/** A stored value as people read it; what is an object is shown as its JSON. */
export function value(each) {
  if (each === null || each === undefined) return h("span", { class: "nothing" }, "–");
  if (typeof each === "boolean") return t(each ? "yes" : "no");
  if (typeof each === "number") return number(each, { maximumFractionDigits: 6 });
  if (typeof each === "string") return bdi(each);
  if (Array.isArray(each) && each.every(part => typeof part === "string")) return bdi(each.join(", ")) ;
  return h("code", { class: "json" }, plainLines(JSON.stringify(each, null, 1)));
}

/** `changes` is `[{field, old, new}]`; `labels` maps a field to its title. */
export function differenceTable(changes, labels = {}) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("changes") }, h("table", { class: "difference" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("fieldName")), h("th", { scope: "col" }, t("old")), h("th", { scope: "col" }, t("new")))),
    h("tbody", {}, changes.map(({ field, old, new: now }) => h("tr", {},
      h("th", { scope: "row", title: field }, bdi(Object.hasOwn(labels, field) ? labels[field] : field)), h("td", { class: "old" }, value(old)), h("td", { class: "new" }, value(now)))))));
}
