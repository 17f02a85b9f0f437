// Presets, and views that were saved in this browser.
import { bdi, button, choice, dialog, form, h, icon, plain, route, say, t, toast } from "./kit.js"
import { filtersOf } from "./filters.js"

const STORED = "collector.views", MOST = 30
const read = () => { try { return JSON.parse(localStorage.getItem(STORED)) ?? []; } catch { return []; } }
const write = views => { try { localStorage.setItem(STORED, JSON.stringify(views.slice(-MOST))); } catch { /* not kept */ } }
const others = name => read().filter(each => each.name !== name)

export function presets(query, redraw) {
	const here = filtersOf(query).toString()
	const tab = (name, text) => choice(".preset", "/activity" + (text && "?" + text), here === filtersOf(new URLSearchParams(text)).toString(), name)
	const remove = name => { write(others(name)); redraw(); }
	return [
		tab(t("all"), ""), tab(t("today"), "since=today"), tab(t("errors"), "severity=error"), tab(say("category", "auth"), "category=auth"), tab(t("tab.devices"), "category=device"),
		read().map(({ name, text }) => h("span.saved", tab(bdi(name), text), button(".bare", () => remove(name), { label: t("remove", { name: plain(name) }) }, icon("close")))),
		here ? button(".preset", () => saveView(redraw), t("saveView")) : null,
	]
}

function saveView(redraw) {
	const input = h("input", { type: "text", required: true, maxlength: 40, label: t("name"), placeholder: t("name") })
	dialog(t("saveView"), close => form("", () => {
		const name = input.value.trim()
		if (!name) return
		write([...others(name), { name, text: filtersOf(route().query).toString() }])
		toast(t("saved"))
		close()
		redraw()
	}, h("h2", t("saveView")), input, h(".buttons", button(".quiet", close, t("cancel")), h("button.strong", t("save")))))
}
