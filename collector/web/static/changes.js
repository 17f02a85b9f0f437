// The Changes tab: histories of the audited resources that the OpenAPI document names.
import { address, ago, auditedResources, bdi, button, choice, empty, failure, get, h, moment, number, onLive, plainLines, replace, route, say, t, table, view, withQuery } from "./kit.js"

const PAGE = 50, FIELDS = 4, SHORT = 28
const EXAMPLE = '[[resources]]\nslug = "categories"\nobject_type = "category"\naudit = true'
const titleOf = (field, labels) => bdi(Object.hasOwn(labels, field) ? labels[field] : field)

/** A stored value as people read it; an object as JSON. */
export function value(each) {
	if (each === null || each === undefined) return h("span.dim", "–")
	if (typeof each === "boolean") return t(each ? "on" : "off")
	if (typeof each === "number") return number(each, { maximumFractionDigits: 6 })
	if (typeof each === "string") return bdi(each)
	if (Array.isArray(each) && each.every(part => typeof part === "string")) return bdi(each.join(", "))
	return h("code.json", plainLines(JSON.stringify(each, null, 1)))
}

/** A difference, `[{field, old, new}]`, as a table; `labels` maps a field to its title. */
export const differenceTable = (changes, labels = {}) => h(".scroll", { tabindex: 0, role: "region", label: t("tab.changes") },
	table(".difference", { field: t("fieldName"), old: t("old"), new: t("new") }, changes.map(each => [h("span", { title: each.field }, titleOf(each.field, labels)), value(each.old), value(each.new)])))

/** Changesets, which open in the drawer. `named`: with the object's id. */
export function changesets(items, resource, named) {
	const columns = { when: t("when"), kind: t("kind"), ...(named && { object: say("field", "object_id") }), fields: t("fieldName"), actor: say("field", "actor") }
	return table(".changes-table", columns, items.map(item => [
		h("a", { href: withQuery({ entry: item.seq }) }, moment(item.changed_at, ago)),
		h(`span.kind-${item.change_type}`, say("change_type", item.change_type)),
		...(named ? [h("a", { href: address(`/changes/${resource.slug}`, { object_id: item.object_id }) }, bdi(item.object_id))] : []),
		fieldsOf(item, resource.labels),
		item.actor === null ? "–" : bdi(item.actor),
	]))
}

function fieldsOf({ fields, change_type }, labels) {
	const all = Object.entries(fields), more = all.length - FIELDS
	return [all.slice(0, FIELDS).map(([field, [old, now]], at) => [at ? ", " : "", titleOf(field, labels), change_type === "update" && brief(old, now)]), more > 0 ? ` +${more}` : ""]
}
function brief(...sides) {
	const [old, now] = sides.map(value)
	return old.nodeName !== "CODE" && now.nodeName !== "CODE" && [old, now].every(each => (each.textContent ?? each).length <= SHORT) && [" ", h("span.old", old), " → ", h("span.new", now)]
}

export function changes(start, { signal }) {
	const tabs = h("nav.presets", { label: t("tab.changes") }), head = h(".device-head"), place = h(".scroll")
	let shown = null, items = [], next = null, resources, resource, object

	async function update({ path, query }) {
		const slug = decodeURIComponent(path.split("/")[2] ?? "")
		try {
			// What people keep comes before what the daemon keeps of its own.
			const own = each => each.slug === "devices"
			resources = (await auditedResources()).sort((a, b) => own(a) - own(b) || a.slug.localeCompare(b.slug))
			resource = resources.find(each => each.slug === slug) ?? resources[0]
			replace(tabs, resources.map(each => choice(".preset", `/changes/${each.slug}`, each === resource, bdi(each.slug))))
			object = query.get("object_id")
			replace(head, object ? [h("h2", t("tab.changes"), ": ", bdi(object)), h("a.chip", { href: `/changes/${resource.slug}` }, t("viewAll"))] : null)
			if (shown === (shown = `${resource.slug}|${object}`)) { draw(); return; }
			items = []
			next = null
			await load()
		} catch (error) { replace(place, failure(error)); }
	}

	async function load() {
		const asked = shown, page = await get(withQuery({ limit: PAGE, object_id: object, before_seq: next }, resource.path, ""), signal)
		if (asked !== shown) return
		items = [...items, ...page.items]
		next = page.has_more ? page.next_before_seq : null
		draw()
	}

	function draw() {
		const { object_type } = resource, example = `{"action": "${object_type}.updated", "object_type": "${object_type}",\n "object_id": "1", "record": {"name": "…"}}`
		replace(place, items.length ? changesets(items, resource, !object) : empty(t("emptyFeed"), t("noChangesText"), example),
			next && h(".feed-more", button(".quiet", () => load().catch(error => replace(place, failure(error))), t("more"))),
			resources.length === 1 && empty("", t("noResourcesText"), EXAMPLE))
	}

	onLive(message => {
		if (message.reset || (items.length <= PAGE && message.entries?.some(entry => entry.changes && entry.object_type === resource?.object_type))) { shown = null; update(route()); }
	}, signal)
	update(start)
	return { node: view("changes", h(".bar", tabs), head, place), update }
}
