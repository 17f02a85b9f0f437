// The drawer: one entry and all that is known of it.
import { address, ago, auditedResources, bdi, button, copy, facts, failure, get, go, h, hint, icon, plain, plainLines, precise, replace, say, t, withQuery } from "./kit.js"
import { called, sentence } from "./sentence.js"
import { categoryIcon, lines, marks } from "./line.js"
import { differenceTable, value } from "./changes.js"
import { deviceUrl } from "./states.js"

const LATE = 5 * 60e3, CHAIN = 50

export class Drawer {
	constructor() {
		this.node = h("aside.drawer", { hidden: true, tabindex: -1, label: t("details") })
		document.body.append(this.node)
	}

	get open() { return !this.node.hidden; }

	async show(seq) {
		if (seq === this.seq) return
		if (!this.open) this.back = document.activeElement
		this.seq = seq
		this.node.hidden = false
		document.body.classList.add("has-drawer")
		let entry, content
		try {
			entry = await get(`/events/${encodeURIComponent(seq)}`)
			content = body(entry, await resourceOf(entry))
		} catch (error) { content = error.status === 404 ? hint(t("entryGone")) : failure(error); }
		if (this.seq !== seq) return
		replace(this.node, this.head(entry), h(".drawer-body", content))
		this.node.focus({ preventScroll: true })
	}

	hide() {
		if (!this.open) return
		this.node.hidden = true
		this.seq = null
		document.body.classList.remove("has-drawer")
		if (this.back?.isConnected) this.back.focus({ preventScroll: true })
	}

	close() { go(withQuery({ entry: null })); }

	head(entry) {
		const link = () => copy(new URL(`/activity?entry=${entry.seq}`, location.href).href)
		return h("header.drawer-head", h("span.dim", "#", plain(entry?.seq ?? this.seq)), entry && button(".quiet", link, t("copy"), " URL"),
			button(".bare", () => this.close(), { label: t("close") }, icon("close")))
	}
}

async function resourceOf(entry) {
	if (!entry.changes?.length) return undefined
	return (await auditedResources().catch(() => [])).find(each => each.object_type === entry.object_type)
}

function body(entry, resource) {
	const late = Date.parse(entry.recorded_at) - Date.parse(entry.occurred_at), chain = h("section", { hidden: true })
	drawChain(entry, chain)
	return [
		h("h2.drawer-title", categoryIcon(entry.category), h("span", sentence(entry))),
		h("p.drawer-when", precise(entry.occurred_at), h("span.dim", ago(entry.occurred_at)), marks(entry)),
		late > LATE && hint(t("cameLate")),
		entry.changes?.length ? section(`${t("tab.changes")} · ${say("change_type", entry.change_type)}`, differenceTable(entry.changes, resource?.labels)) : null,
		h(".facets", linksOf(entry, resource)),
		section(t("details"), facts(detailsOf(entry))),
		section(t("who"), producer(entry.producer)),
		chain,
		Object.keys(entry.metadata).length ? section(t("metadata"), facts(Object.entries(entry.metadata).map(([key, each]) => [bdi(key), value(each)]))) : null,
		raw(entry),
	]
}

const section = (title, ...content) => h("section", h("h3", title), content)

function linksOf({ object_type, object_id, object_name }, resource) {
	if (!object_type || !object_id) return []
	return [[address("/activity", { object_type, object_id }), t("tab.activity")],
		...(object_type === "device" ? [[deviceUrl(object_id), say("category", "device")]] : []),
		...(resource ? [[address(`/changes/${resource.slug}`, { object_id }), t("tab.changes")]] : [])].map(([href, text]) => h("a.chip", { href }, bdi(`${text}: ${object_name ?? object_id}`)))
}

// What led to the entry, what it led to, and all of its transaction.
async function drawChain({ id, seq, causation_id, correlation_id }, place) {
	const page = parameters => get(address("/events", { limit: CHAIN, ...parameters })).then(({ entries }) => entries.reverse()).catch(() => [])
	const [cause, effects, transaction] = await Promise.all([
		causation_id ? get(`/events/${encodeURIComponent(causation_id)}`).then(entry => [entry], () => []) : [],
		page({ causation_id: id }), correlation_id ? page({ correlation_id }) : []])
	const parts = [[say("field", "causation_id"), cause], [t("effects"), effects], [say("field", "correlation_id"), transaction]].filter(([, entries]) => entries.length)
	place.hidden = !parts.length
	replace(place, parts.map(([title, entries]) => section(title, lines(entries, seq))))
}

const only = (name, each, text) => h("a", { href: address("/activity", { [name]: each }) }, bdi(text ?? each))

function detailsOf(entry) {
	const linked = ["channel", "mode", "tenant_id", "org_id", "correlation_id"].map(name => [name, entry[name] && only(name, entry[name])])
	return [
		["action", only("action", entry.action)],
		...["category", "outcome", "severity", "source"].map(name => [name, only(name, entry[name], say(name, entry[name]))]),
		...["actor", "on_behalf_of", "target"].map(name => [name, entry[name] && person(name, entry[name])]),
		["object_id", bdi([entry.object_type, entry.object_id, entry.object_name].filter(Boolean).join(" · "))],
		...linked, ["ip", entry.ip && bdi(entry.ip)], ["causation_id", entry.causation_id && bdi(entry.causation_id)],
		["recorded_at", precise(entry.recorded_at)], ["id", h("code", plain(entry.id))],
	].filter(([, each]) => each?.textContent !== "" && each).map(([name, each]) => [say("field", name), each])
}

function person(name, who) {
	const id = who.type && who.id ? `${who.type}:${who.id}` : who.id, more = [id, who.role, who.email].filter(each => each && each !== who.name)
	return [name === "on_behalf_of" ? bdi(called(who)) : only(name, id ?? who.name ?? "", called(who)), more.length ? h("span.dim", " ", bdi(more.join(" · "))) : null]
}

const producer = found => [
	h("p.assured" + (found.assurance === "asserted" ? ".is-warning" : ""), icon(found.assurance === "asserted" ? "alert" : "ok"), say("assurance", found.assurance)),
	facts(["user", "uid", "gid", "comm", "pid", "unit", "user_unit", "key", "plugin"].map(name => found[name] !== undefined && found[name] !== null && [say("field", name), bdi(found[name])])),
]

function raw(entry) {
	const text = JSON.stringify(entry, null, 2)
	return h("section", h("details", h("summary", t("raw")), button(".quiet", () => copy(text), t("copy")), h("pre", { tabindex: 0 }, plainLines(text))))
}
