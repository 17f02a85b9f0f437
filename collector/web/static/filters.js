// What is asked for: read from the address, and sent to the API.
import { DAY, midnight } from "./format.js"

/** Filters with a button, and those of links alone. */
export const DIMENSIONS = ["category", "outcome", "severity", "action", "actor", "object_type", "source", "channel", "mode"]
export const OTHERS = ["object_id", "target", "tenant_id", "org_id", "correlation_id", "causation_id"]
const VALUES = [...DIMENSIONS, ...OTHERS]

/** The filters of an address, and nothing else of it. */
export function filtersOf(query) {
	const found = new URLSearchParams()
	for (const name of [...VALUES, "since", "until", "q"]) for (const value of query.getAll(name)) if (value) found.append(name, value)
	return found
}

/** As the API wants them: a search has words, days are the reader's. */
export function forApi(query, without) {
	const found = filtersOf(query), q = searchOf(found.get("q"))
	if (without) found.delete(without)
	if (q) found.set("q", q); else found.delete("q")
	for (const name of ["since", "until"]) {
		const moment = momentOf(found.get(name))
		if (moment === null) found.delete(name); else found.set(name, new Date(moment).toISOString())
	}
	return found
}

/** Each word is found from its beginning: `kit` finds "kitchen". */
function searchOf(text) {
	return (text ?? "").split(/\s+/).filter(part => /[\p{L}\p{N}]/u.test(part)).slice(0, 16)
		.map(part => /[\p{L}\p{N}]$/u.test(part) ? part + "*" : part).join(" ")
}

/** Milliseconds of `today`, `-24h`, `-7d` or RFC 3339, else null. */
export function momentOf(text, now = Date.now()) {
	if (text === "today") return midnight(now)
	const [, n, unit] = /^-(\d{1,4})(min|h|d)$/.exec(text ?? "") ?? []
	if (n) return now - n * { min: 60e3, h: 3600e3, d: DAY }[unit]
	const found = Date.parse(text ?? "")
	return Number.isNaN(found) ? null : found
}
