// A key is exchanged for a cookie, and kept nowhere.
import { button, dialog, field, form, h, hint, post, replace, say, t } from "./kit.js"

const again = () => location.reload()

export function loginForm(cancel) {
	const error = h("p.warns", { role: "alert" }), key = h("input", { type: "password", id: "login-key", required: true, maxlength: 200, autocomplete: "current-password" })
	const show = async () => {
		try { await post("/session", { key: key.value.trim() }); again(); } catch (problem) { replace(error, problem.status === 401 ? t("loginFailed") : t("failed", { why: problem.message })); key.select(); }
	}
	return form(".login", show, h("h2", t("login")), field(say("field", "key"), key), error,
		hint(t("loginHint")), h("pre", "collector keys add ada --role admin"), h(".buttons", cancel && button(".quiet", cancel, t("cancel")), h("button.strong", t("login"))))
}

export const loginDialog = () => dialog(t("login"), loginForm)
