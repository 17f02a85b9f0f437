// API keys: listed, made (the secret is shown once) and revoked.
import { bdi, h, plain, replace, toast } from "./dom.js";
import { del, get, post } from "./api.js";
import { sayText, t } from "./i18n.js";
import { ago, exact } from "./format.js";
import { copy } from "./drawer.js";

export function keysPanel() {
  const rows = h("div", {}), made = h("div", { class: "made", role: "status" });
  const label = h("input", { type: "text", id: "key-label", required: true, maxlength: 100, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off" });
  const role = h("select", { id: "key-role" }, ["viewer", "producer", "admin"].map(each => h("option", { value: each }, sayText("role", each))));
  const tenant = h("input", { type: "text", id: "key-tenant", maxlength: 64, autocomplete: "off" });
  const field = (text, input) => h("div", { class: "field" }, h("label", { for: input.id }, text), input);

  async function draw() {
    try {
      const { keys } = await get("/keys");
      replace(rows, keys.length ? h("table", { class: "table" }, h("thead", {}, h("tr", {}, ["label", "roleName", "created"].map(key => h("th", { scope: "col" }, t(key))), h("td", {}))),
        h("tbody", {}, keys.map(key => h("tr", {}, h("th", { scope: "row" }, bdi(key.label), key.tenant_id ? h("span", { class: "dim" }, " · ", bdi(key.tenant_id)) : null), h("td", {}, sayText("role", key.role)),
          h("td", {}, key.created_at ? h("time", { title: exact(moment(key.created_at)) }, ago(moment(key.created_at))) : "–"),
          h("td", { class: "act" }, h("button", { type: "button", class: "quiet", "aria-label": `${t("revoke")} ${plain(key.label)}`, on: { click: event => revoke(event.target, key.label) } }, t("revoke"))))))) : h("p", { class: "hint" }, t("noKeys")));
    } catch (error) { replace(rows, h("p", { class: "hint" }, t("failed", { why: error.message }))); }
  }
  // The second click revokes: one slip takes no key away.
  async function revoke(button, name) {
    if (!button.dataset.sure) { button.dataset.sure = "1"; button.textContent = t("revokeSure", { name: plain(name) }); button.className = "danger"; return; }
    try { await del(`/keys/${encodeURIComponent(name)}`); } catch (error) { toast(t("failed", { why: error.message })); }
    draw();
  }
  const form = h("form", { on: { submit: async event => {
    event.preventDefault();
    try {
      const { secret } = await post("/keys", { label: label.value.trim(), role: role.value, tenant_id: tenant.value.trim() || null });
      replace(made, h("p", {}, t("keyOnce")), h("div", { class: "secret" }, h("code", {}, secret), h("button", { type: "button", on: { click: () => copy(secret) } }, t("copy"))));
      label.value = tenant.value = "";
      draw();
    } catch (error) { replace(made, h("p", { class: "warns" }, t("failed", { why: error.message }))); }
  } } }, h("div", { class: "fields" }, field(t("label"), label), field(t("roleName"), role), field(t("tenant"), tenant)), h("div", { class: "buttons" }, h("button", {}, t("addKey"))));
  draw();
  return h("section", { class: "panel keys" }, h("header", {}, h("h2", {}, t("keys"))), h("p", { class: "hint" }, t("keysHint")), rows, made, form);
}

const moment = each => typeof each === "number" ? each * (each < 1e12 ? 1000 : each < 1e14 ? 1 : 0.001) : each;
