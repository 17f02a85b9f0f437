// One sentence for an entry, as nodes: its message, else composed of its fields in the reader's language,
// by the command line's rules.
import { bdi, plain } from "./dom.js"
import { fill, lang, say, t, tr, word } from "./i18n.js"
import { list, number, short } from "./format.js"

const MISSED = new Set(["failure", "denied"])
const SAME = { logged_in: "login", signed_in: "login", logged_out: "logout", signed_out: "logout", modified: "changed", updated: "changed" }
const FIELDS_SHOWN = 5, VALUE_MAX = 60

const name = text => bdi(text, ".name")
const spoken = text => plain(text.replaceAll(/[_-]/g, " "))
const isText = each => typeof each === "string" && each !== ""

/** What to call a principal, as text; null where there is none. */
export function called(who) {
	if (!who) return null
	if (who.name) return who.name
	if (who.id && who.type && who.type !== "user") return `${spoken(who.type)} ${who.id}`
	return who.id ?? who.email ?? who.role ?? who.type ?? null
}
const named = (text, otherwise) => text ? name(text) : t(otherwise)

// By metadata some of the daemon's own actions have another text, `own.ACTION/VARIANT`; no action has a slash.
const VARIANTS = {
	"collector.started": ({ previous }) => previous,
	"device.discovered": ({ returned }) => returned && "returned",
	"device.lost": ({ reason }) => reason,
	"device.health_changed": ({ from, to, attempts }) => to === "offline" && attempts > 0 ? "failed" : to === "online" && (from === "offline" || from === "suspect") ? "back" : to,
}

function tellOwn(entry) {
	const { action, actor, metadata } = entry, { changed, count, cause, seconds, from, error, op, path, pid, comm, verb } = metadata
	const variant = `own.${action}/${Object.hasOwn(VARIANTS, action) && VARIANTS[action](metadata)}`, object = entry.object_name ?? entry.object_id
	const fields = Array.isArray(changed) ? changed : (entry.changes ?? []).map(each => each.field)
	return [...tr(word(variant) ? variant : "own." + action, {
		who: named(called(actor), "somebody"), device: named(object, "aDevice"), key: named(object, "something"),
		what: action === "auth.denied" ? bdi(op ?? path ?? t("something")) : objectOf(entry) ?? nounOf(entry),
		count: t("entries", { n: Number.isInteger(count) ? count : "?" }), why: isText(cause) ? [" (", bdi(spoken(cause)), ")"] : "",
		n: metadata.attempts, state: bdi(say("state", String(metadata.to))), error: bdi(error ?? ""), fields: fields.length ? ": " + names(fields) : "",
		reader: pid ? bdi(`${verb ? "collector " + verb : comm} (${pid})`) : t("somebody"), seconds: number(Number(seconds) || 0, { signDisplay: "always" }), from: isNaN(Date.parse(from)) ? "?" : short(from),
	}), ...(action === "settings.updated" ? limits(entry) ?? difference(entry) : [])]
}
// Deeds: where one failed, its own text would claim that it was done.
const DEEDS = new Set(["config.reloaded", "events.cleared", "events.exported", "events.pruned", "key.created", "key.revoked", "settings.updated", "storage.restored"])

/** The sentence of an entry as a list of nodes; never empty. */
export function sentence(entry) {
	if (entry.message) return [bdi(entry.message)]
	return word("own." + entry.action) && !(DEEDS.has(entry.action) && MISSED.has(entry.outcome)) ? tellOwn(entry) : compose(entry)
}

function compose(entry) {
	const { outcome } = entry, actor = called(entry.actor), who = actor === null ? null : name(actor), object = objectOf(entry)
	const last = entry.action.slice(entry.action.lastIndexOf(".") + 1), deed = SAME[last] ?? last, missed = MISSED.has(outcome)
	const end = word("end." + deed), alone = word("alone." + deed), verb = verbOf(last, deed), what = object ?? nounOf(entry)
	if (end && !missed) return [...fill(end, { what }), ...(who ? [" (", who, ")"] : []), ...reason(entry)]
	if (alone) {
		const [done, denied, failed] = alone.split("|")
		return [...fill({ denied, failure: failed }[outcome] ?? done, { who: who ?? object ?? t("somebody") }), ...target(entry, "to"), ...(missed ? reason(entry) : [])]
	}
	if (!verb) return unknown(entry, who, object)
	const [base, past, link] = verb, params = { who: who ?? t("somebody"), what, base, past }
	if (outcome === "denied") return [...tr("denied", params), ...target(entry, link), ...required(entry)]
	if (outcome === "failure") return [...tr("failedTo", params), ...target(entry, link), ...reason(entry)]
	return [...tr(who ? "done" : "passive", params), ...target(entry, link), ...difference(entry), ...(outcome === "unknown" ? [t("unsure")] : [])]
}

// `[base, past, link]`: "add", "added", "to". English lists base and link, and can do without; other
// languages have one form.
function verbOf(last, deed) {
	const [form, link] = word("verb." + deed)?.split("|") ?? []
	if (lang() !== "en") return form && [form, form]
	return form ? [form, spoken(deed), link] : /.{2}ed$/.test(last) && [`have it ${spoken(last)}:`, spoken(last)]
}

function unknown(entry, who, object) {
	const failed = entry.outcome === "failure"
	return [...(who ? [who, ": "] : []), spoken(entry.action.replaceAll(".", " ")), ...(object ? [" ", ...object] : []),
		failed ? t("hasFailed") : entry.outcome === "denied" ? t("wasDenied") : "", ...(failed ? reason(entry) : [])]
}

function objectOf(entry) {
	const id = entry.object_name ?? entry.object_id, kind = entry.object_type && spoken(entry.object_type)
	if (!kind && !id) return null
	if (kind === "device" && id) return [name(id)]
	return [kind && bdi(kind), kind && id && " ", id && name(id)].filter(Boolean)
}
const nounOf = ({ action }) => spoken(action.slice(0, Math.max(0, action.lastIndexOf("."))).replaceAll(".", " ")) || t("something")

function target(entry, link = "for") {
	const found = called(entry.target)
	return found === null ? [] : [lang() === "en" ? ` ${link} ` : " → ", name(found)]
}

const turned = (from, to) => [value(from), " → ", value(to)]
function difference(entry) {
	const { from, to, path, field, key } = entry.metadata
	if (scalar(from) && scalar(to) && !(from == null && to == null)) {
		const about = [path, field, key].find(isText)
		return [": ", ...(about ? [bdi(about), " "] : []), ...turned(from, to)]
	}
	const changes = entry.change_type === "update" ? entry.changes ?? [] : [], [first] = changes
	if (changes.length === 1 && scalar(first.old) && scalar(first.new)) return [": ", bdi(first.field), " ", ...turned(first.old, first.new)]
	return changes.length ? [": ", names(changes.map(each => each.field))] : []
}
// Retention: `changes` maps a limit to `{from, to}`.
const LIMITS = { enabled: "enabled", max_days: "maxDays", max_entries: "entriesKept", max_bytes: "maxBytes" }
function limits({ metadata: { changes } }) {
	if (changes === null || typeof changes !== "object" || Array.isArray(changes)) return null
	const told = Object.entries(changes).filter(([, each]) => each !== null && typeof each === "object")
	return told.length ? told.slice(0, 2).flatMap(([key, { from, to }], at) =>
		[at ? "; " : ": ", Object.hasOwn(LIMITS, key) ? t(LIMITS[key]) : bdi(key), ...(scalar(from) && scalar(to) ? [" ", ...turned(from, to)] : [])]) : null
}
const scalar = each => each === null || typeof each !== "object"
function value(each) {
	if (each === null || each === undefined || each === "") return t("nothing")
	if (typeof each === "boolean") return t(each ? "on" : "off")
	if (typeof each === "number") return number(each)
	return bdi(each.length > VALUE_MAX ? each.slice(0, VALUE_MAX - 1) + "…" : each, ".value")
}

function reason({ metadata: { error_keys: keys, error_code: code } }) {
	if (Array.isArray(keys) && keys.length) return [t("invalid", { fields: names(keys) })]
	return typeof code === "string" || typeof code === "number" ? [" (", bdi(String(code)), ")"] : []
}
function required({ metadata: { required: needed } }) {
	const role = Array.isArray(needed) ? names(needed) : needed
	return isText(role) ? [t("needs", { role: plain(role) })] : []
}
const names = fields => {
	const shown = fields.slice(0, FIELDS_SHOWN).map(each => plain(String(each))), more = fields.length - shown.length
	return more > 0 ? `${shown.join(", ")} +${more}` : list(shown)
}
