// Dates, times and numbers in the reader's language. Moments are milliseconds or RFC 3339.
import { locale } from "./i18n.js"

const made = new Map()
const of = (kind, options) => {
	const key = kind.name + locale() + JSON.stringify(options)
	if (!made.has(key)) made.set(key, new kind(locale(), options))
	return made.get(key)
}
const dated = options => moment => of(Intl.DateTimeFormat, options).format(new Date(moment))

export const HOUR = 3600e3, DAY = 86400e3
export const number = (value, options = {}) => of(Intl.NumberFormat, options).format(value)
export const percent = share => number(share, { style: "percent", maximumFractionDigits: share > 0.99 && share < 1 ? 2 : 1 })
export const list = items => of(Intl.ListFormat, { type: "conjunction" }).format(items)
/** "7 days". */
export const measured = (value, unit, unitDisplay = "long") => number(value, { style: "unit", unit, unitDisplay })

const TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, DATE = { day: "numeric", month: "short" }
export const clock = dated(TIME)
export const short = dated({ ...DATE, ...TIME })
export const dayMonth = dated(DATE)
export const minutely = dated({ year: "numeric", ...DATE, ...TIME })
export const exact = dated({ dateStyle: "full", timeStyle: "long" })
export const precise = dated({ year: "numeric", ...DATE, ...TIME, second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short" })

export const midnight = moment => new Date(moment).setHours(0, 0, 0, 0)

// From how many seconds on it is counted in a unit, and how many the unit has.
const UNITS = [["year", 86400 * 320, 86400 * 365], ["month", 86400 * 26, 86400 * 30.4], ["day", 79200, 86400], ["hour", 3000, 3600], ["minute", 45, 60], ["second", 0, Infinity]]
const relative = (value, unit, style) => of(Intl.RelativeTimeFormat, { numeric: "auto", style }).format(value, unit)

export function ago(moment) {
	const seconds = (new Date(moment) - Date.now()) / 1000
	const [unit, , size] = UNITS.find(([, least]) => Math.abs(seconds) >= least)
	return relative(Math.round(seconds / size), unit, "short")
}

/** "Today", "Yesterday" and the date; the year where it is not this one. */
export function day(moment, now = Date.now()) {
	const days = Math.round((midnight(moment) - midnight(now)) / DAY)
	const year = new Date(moment).getFullYear() === new Date(now).getFullYear() ? undefined : "numeric"
	const full = dated({ weekday: "long", day: "numeric", month: "long", year })(moment)
	if (days !== 0 && days !== -1) return full
	const word = relative(days, "day", "long")
	return word[0].toLocaleUpperCase(locale()) + word.slice(1) + " · " + full
}

/** As the configuration writes them. */
export function bytes(size) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"]
	const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(size || 1) / 10)))
	const shown = size / 1024 ** at
	return number(shown, { maximumFractionDigits: shown < 10 && at ? 1 : 0 }) + "\u00a0" + units[at]
}
