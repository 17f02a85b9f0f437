// What the feed shows of entries: a heading a day, and one line that opens for a run of a flapping device
// and for the devices that were found at the start.
import { midnight } from "./format.js"

const GAP = 10 * 60e3, LEAST = 3, FEW = 5
const FLAPS = new Set(["device.health_changed", "device.flapping"])
const DAY = Symbol("day")

const keyOf = entry => entry.object_type === "device" && entry.object_id && FLAPS.has(entry.action) ? `flap:${entry.object_id}`
	: entry.action === "device.discovered" && entry.metadata.initial === true ? "found" : null
// Remembered, since all are gone through whenever one is added. A fast clock makes no future.
const dayOf = entry => entry[DAY] ??= midnight(Math.min(Date.parse(entry.occurred_at), Date.parse(entry.recorded_at)))

/** `[{day, late, entries}]`, in the order of recording. Of entries that came late a few stay under the day
    they came in, with their own date; many have a heading that says so. */
function days(entries) {
	const runs = [], found = []
	for (const entry of entries) {
		const day = dayOf(entry)
		if (runs.at(-1)?.day === day) runs.at(-1).entries.push(entry); else runs.push({ day, entries: [entry] })
	}
	runs.forEach((run, at) => {
		const above = found.at(-1), returns = () => runs.slice(at + 1, at + FEW).some(each => each.day === above.day)
		if (above && (run.day === above.day || (run.entries.length < FEW && returns()))) for (const entry of run.entries) above.entries.push(entry)
		else found.push(run)
	})
	found.forEach((run, at) => { run.late = found[at + 1]?.day > run.day; })
	return found
}

/** `{kind: "day"|"entry"|"fold", key, …}`, newest first; `open`: keys of folds that are open. */
export function items(entries, open) {
	return days(entries).flatMap(({ day, late, entries: own }, at) => [{ kind: "day", key: `day:${day}:${late}:${at}`, day, late }, ...folded(own, day, open)])
}

function folded(entries, day, open) {
	const found = [], runs = new Map()
	for (const entry of entries) {
		const key = keyOf(entry), moment = key && Date.parse(entry.occurred_at), run = key && runs.get(key)
		if (run && Math.abs(run.oldest - moment) <= GAP) {
			run.entries.push(entry)
			run.oldest = moment
			continue
		}
		const item = { kind: "entry", key: `entry:${entry.seq}`, entry, day }
		if (key) runs.set(key, Object.assign(item, { entries: [entry], oldest: moment, found: key === "found" }))
		found.push(item)
	}
	return runs.size ? found.flatMap(item => item.entries?.length > 1 ? unfolded(item, open) : item) : found
}

function unfolded({ entries, day, found }, open) {
	const each = entries.map(entry => ({ kind: "entry", key: `entry:${entry.seq}`, entry, day }))
	if (entries.length < LEAST) return each
	// Its oldest entry names it: a run grows at its newer end.
	const key = `fold:${entries.at(-1).seq}`, fold = { kind: "fold", key, entries, day, found, open: open.has(key) }
	return fold.open ? [fold, ...each.map(part => ({ ...part, key: part.key + ":in", inside: true }))] : [fold]
}
