// Languages: a catalogue each, loaded when it is chosen. A line of the English one is a key, a space and
// a text, and the lines after `[group]` have keys `group.key`; the others have a text on the same line. In
// a text `{name}` is filled in, and of `{one|few|many}` the form is taken that the number `n` has there.
import { plain } from "./dom.js"

export const LANGUAGES = { en: "English", de: "Deutsch", ru: "Русский", zh: "中文" }
const STORED = "collector.lang", FORMS = ["one", "few", "many"]

let code = "en", words = new Map(), plurals, numbers

export const lang = () => code
/** The language with the reader's region. */
export const locale = () => navigator.languages.find(each => each.slice(0, 2) === code) ?? code

/** A module, once the daemon answers. */
export async function load(name) {
	for (;;) try { return await import(`./${name}.js`); } catch { await new Promise(on => setTimeout(on, 1e3)); }
}

/** Chooses a language: given, stored, else the browser's first that there is. */
export async function speak(wanted) {
	const stored = (() => { try { return localStorage.getItem(STORED); } catch { return null; } })()
	code = [wanted, stored, ...navigator.languages.map(each => each.slice(0, 2))].find(each => Object.hasOwn(LANGUAGES, each)) ?? "en"
	if (wanted) try { localStorage.setItem(STORED, code); } catch { /* then for this visit */ }
	words = parse(...await Promise.all(["en", code].map(async each => (await load(each)).default)))
	plurals = new Intl.PluralRules(code)
	numbers = new Intl.NumberFormat(locale())
	document.documentElement.lang = code
}

function parse(english, translated) {
	const found = new Map(), texts = translated.split("\n")
	let group = ""
	english.split("\n").forEach((line, at) => {
		const [key] = line.split(" ", 1)
		if (line[0] === "[") group = line.slice(1, -1) + "."
		else found.set(group + key, english === translated ? line.slice(key.length + 1) : texts[at])
	})
	return found
}

/** The text of a key as it stands. */
export const word = key => words.get(key)
/** What a group has words for. */
export const wordsOf = group => [...words.keys()].filter(key => key.startsWith(group + ".")).map(key => key.slice(group.length + 1))
/** A value as people say it; a stranger's as it stands. */
export const say = (group, value) => words.get(`${group}.${value}`) ?? plain(value)

function formOf(text, n) {
	return text.replace(/\{([^{}|]*\|[^{}]*)\}/, (_, forms) => {
		const each = forms.split("|"), at = FORMS.indexOf(plurals.select(n))
		return each[at] ?? each.at(-1)
	})
}

/** A template's nodes: its `{parameters}` may be text, numbers or nodes. */
export const fill = (text, params = {}) => formOf(text, params.n ?? 0).split(/\{(\w+)\}/)
	.map((part, at) => at % 2 ? typeof params[part] === "number" ? numbers.format(params[part]) : params[part] ?? "" : part).flat().filter(part => part !== "")
/** The text of a key, as nodes. */
export const tr = (key, params) => fill(words.get(key) ?? key, params)
/** The same as text. */
export const t = (key, params) => tr(key, params).join("")
