// The HTTP API: one function a verb. What it refuses is thrown, with its `status`.

const BASE = "/api/v1"

async function ask(method, path, body, signal) {
	const sent = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }
	const answer = await fetch((path.startsWith("/openapi") ? "" : BASE) + path, { method, signal, ...sent }), found = await answer.json().catch(() => null)
	if (answer.ok) return found
	throw Object.assign(new Error(found?.detail ?? found?.title ?? answer.status), { status: answer.status })
}

export const get = (path, signal) => ask("GET", path, undefined, signal)
export const put = (path, body) => ask("PUT", path, body)
export const post = (path, body) => ask("POST", path, body)
export const patch = (path, body) => ask("PATCH", path, body)
export const del = path => ask("DELETE", path)
export const exportUrl = query => `${BASE}/events/export?${query}`

/** Who is asking, and so what is offered. `refresh` asks again. */
export const session = {
	role: null, known: false, actor: {}, tenant_id: null,
	get admin() { return this.known && this.role === "admin" && this.tenant_id === null; },
	get reader() { return this.role === "admin" || this.role === "viewer"; },
	get whole() { return this.reader && this.tenant_id === null; },
	get exporter() { return this.known && this.reader; },
	async refresh() { Object.assign(this, await get("/session")); },
}

let audits
/** `[{slug, object_type, labels, path}]`, found by `x-audit` alone. */
export function auditedResources() {
	audits ??= get("/openapi.json").then(({ paths }) => Object.entries(paths).flatMap(([path, item]) => {
		const audit = item.get?.["x-audit"]
		return audit && !path.includes("{") ? [{ slug: audit.parent, object_type: audit.object_type, labels: audit.labels ?? {}, path: path.slice(BASE.length) }] : []
	})).catch(error => { audits = undefined; throw error; })
	return audits
}
