// The Activity tab: search, filters, the histogram, and the feed.
import { address, button, debounce, empty, go, h, icon, nothingYet, onLive, replace, route, searchField, t, view, withQuery } from "./kit.js"
import { DIMENSIONS, filtersOf } from "./filters.js"
import { chosenChips, closeFacet, facetButton } from "./chips.js"
import { presets } from "./views.js"
import { Histogram } from "./histogram.js"
import { Feed } from "./feed.js"

const SEARCH_WAIT = 250

export function activity(start, { signal }) {
	const box = searchField(t("searchHint"), { id: "search", label: t("search"), oninput: debounce(() => go(withQuery({ q: search.value.trim(), entry: null }), { replace: true }), SEARCH_WAIT) })
	const search = box.lastChild, histogram = new Histogram(), feed = new Feed(changed, entries => histogram.hear(entries), signal)
	const views = h("nav.presets"), facets = h(".facets"), chosen = h(".chosen-chips")
	const total = h("p.total", { role: "status" }), fresh = button(".fresh", () => feed.showWaiting(), { hidden: true }), none = h("", { hidden: true })
	const node = view("activity", h(".bar", box, views), histogram.node, h(".bar.second", facets, total), chosen, h(".fresh-place", fresh), none, feed.node)
	let filters = null, spanned = null

	function changed() {
		const n = feed.waiting.length, nothing = !feed.busy && !feed.failed && feed.entries.length === 0
		fresh.hidden = n === 0
		replace(fresh, icon("up"), t("newEntries", { n }))
		total.textContent = feed.total ?? ""
		none.hidden = !nothing
		if (nothing) replace(none, filters ? [empty(t("emptyFeed")), h("a.button.alone", { href: "/activity" }, t("clearFilters"))] : nothingYet())
	}

	function update({ query }) {
		const asked = filtersOf(query).toString(), chips = chosenChips(query), over = asked + query.get("span")
		if (document.activeElement !== search) search.value = query.get("q") ?? ""
		replace(views, presets(query, () => update(route())))
		replace(facets, DIMENSIONS.map(name => h(".facet-place", facetButton(name, query))))
		replace(chosen, chips, chips.length ? h("a.chip.clear", { href: address("/activity", { q: query.get("q") }) }, t("clearFilters")) : null,
			asked && h("a.chip.clear", { href: withQuery({ entry: null, span: null }, "/settings") }, t("exportTitle")))
		if (over !== spanned) { spanned = over; histogram.update(query); }
		if (asked !== filters) {
			filters = asked
			if (feed.entries) scrollTo({ top: 0 })
			feed.reset(query)
		} else {
			feed.relink()
			if (!query.has("entry")) feed.release()
		}
	}

	onLive(message => {
		if (message.entries) feed.hear(message.entries)
		if (message.reset) { filters = spanned = null; update(route()); }
	}, signal)
	signal.addEventListener("abort", closeFacet)
	update(start)
	return { node, update, keys: {
		j: () => feed.step(1), k: () => feed.step(-1), "/": () => { search.focus(); search.select(); },
		Escape: () => { document.activeElement?.blur?.(); feed.release(); },
	} }
}
