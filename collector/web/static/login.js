// Logging in: the key is exchanged for a cookie and kept nowhere on the page.
import { h, replace } from "./dom.js";
import { del, post } from "./api.js";
import { t } from "./i18n.js";

/** The form; `done` is called when the cookie is there. */
export function loginForm(done, cancel) {
  const error = h("p", { class: "warns", role: "alert" });
  const key = h("input", { type: "password", id: "login-key", required: true, maxlength: 200, autocomplete: "current-password" });
  return h("form", { class: "login", on: { submit: async event => {
    event.preventDefault();
    try { await post("/session", { key: key.value.trim() }); key.value = ""; done(); } catch (problem) { replace(error, problem.status === 401 ? t("loginFailed") : t("failed", { why: problem.message })); key.select(); }
  } } }, h("h2", {}, t("loginTitle")), h("div", { class: "field" }, h("label", { for: "login-key" }, t("keyField")), key), error,
    h("p", { class: "hint" }, t("loginHint")), h("pre", {}, "collector keys add ada --role admin"),
    h("div", { class: "buttons" }, cancel ? h("button", { type: "button", class: "quiet", on: { click: cancel } }, t("cancel")) : null, h("button", { class: "strong" }, t("login"))));
}

export function loginDialog(done) {
  const dialog = h("dialog", { class: "small", "aria-label": t("loginTitle") });
  dialog.append(loginForm(() => { dialog.close(); done(); }, () => dialog.close()));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export const logout = () => del("/session");
