// The address is the state: a view can be shared, reloaded and left with the back button.

const listeners = new Set()

export const route = () => ({ path: location.pathname, query: new URLSearchParams(location.search) })
export const onRoute = listener => { listeners.add(listener); }
const tell = () => { for (const listener of listeners) listener(route()); }

/** Goes to an address of the page. `replace` leaves no step for the back button. */
export function go(address, { replace = false } = {}) {
	if (address === location.pathname + location.search) return
	history[replace ? "replaceState" : "pushState"](null, "", address)
	tell()
}

/** This path's address with some parameters changed: null takes one away, a list repeats it. */
export function withQuery(changes, path = location.pathname, base = location.search) {
	const query = new URLSearchParams(base)
	for (const [name, value] of Object.entries(changes)) {
		query.delete(name)
		for (const each of [value].flat()) if (each !== null && each !== undefined && each !== "") query.append(name, each)
	}
	const text = query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")
	return path + (text ? "?" + text : "")
}
export const address = (path, parameters) => withQuery(parameters, path, "")

addEventListener("popstate", tell)
document.addEventListener("click", event => {
	const link = event.target.closest?.("a[href]")
	if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
	if (link.hasAttribute("download") || link.target || link.origin !== location.origin || link.pathname.startsWith("/api/")) return
	if (link.hash && link.pathname === location.pathname) return
	event.preventDefault()
	go(link.pathname + link.search)
})
