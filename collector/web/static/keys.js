// API keys.
import { ago, attempt, bdi, button, copy, del, field, form, get, h, hint, into, moment, options, panel, plain, post, say, t, table } from "./kit.js"

const ROLES = ["viewer", "producer", "admin"]

export function keysPanel() {
	const rows = h("div"), made = h(".made", { role: "status" }), text = (id, more) => h("input", { type: "text", id, autocomplete: "off", ...more })
	const label = text("key-label", { required: true, maxlength: 100, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" }), tenant = text("key-tenant", { maxlength: 64, placeholder: "–" })
	const role = h("select", { id: "key-role" }, options(Object.fromEntries(ROLES.map(each => [each, say("role", each)]))))

	const draw = () => into(rows, async () => {
		const { keys } = await get("/keys")
		return keys.length ? table("", { name: t("name"), role: t("roleName"), when: t("when"), act: "" }, keys.map(row)) : hint(t("noKeys"))
	})
	const row = key => [[bdi(key.label), key.tenant_id && h("span.dim", " · ", bdi(key.tenant_id))], say("role", key.role), moment(key.created_at, ago),
		button(".quiet", event => revoke(event.currentTarget, key.label), { label: `${t("revoke")} ${plain(key.label)}` }, t("revoke"))]

	// The second click revokes: one slip takes no key away.
	async function revoke(revoker, name) {
		if (!revoker.matches(".danger")) { revoker.textContent = `${t("revoke")} ${plain(name)}?`; revoker.className = "danger"; return; }
		await attempt(async () => { await del(`/keys/${encodeURIComponent(name)}`); })
		draw()
	}

	const make = () => into(made, async () => {
		const { secret } = await post("/keys", { label: label.value.trim(), role: role.value, tenant_id: tenant.value.trim() || null })
		label.value = tenant.value = ""
		draw()
		return [h("p", t("keyOnce")), h("code", secret), button("", () => copy(secret), t("copy"))]
	})
	draw()
	return panel(t("keys"), null, rows, made, form("", make, h(".fields", field(t("name"), label), field(t("roleName"), role), field(say("field", "tenant_id"), tenant)), h(".buttons", h("button", t("addKey")))))
}
