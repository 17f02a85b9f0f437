// Dates, times and numbers, in the reader's language and zone.
import { locale } from "./i18n.js";

const made = new Map();
const of = (kind, options) => {
  const key = kind.name + locale() + JSON.stringify(options);
  if (!made.has(key)) made.set(key, new kind(locale(), options));
  return made.get(key);
};
const date = options => of(Intl.DateTimeFormat, options);

export const MINUTE = 60e3, HOUR = 3600e3, DAY = 86400e3;
export const number = (value, options = {}) => of(Intl.NumberFormat, options).format(value);
export const compact = value => number(value, { notation: "compact", maximumFractionDigits: 1 });
export const percent = share => number(share, { style: "percent", maximumFractionDigits: share > 0.99 && share < 1 ? 2 : 1 });
export const list = items => of(Intl.ListFormat, { type: "conjunction" }).format(items);

const TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
export const clock = moment => date(TIME).format(new Date(moment));
export const short = moment => date({ day: "numeric", month: "short", ...TIME }).format(new Date(moment));
export const dayMonth = moment => date({ day: "numeric", month: "short" }).format(new Date(moment));
export const exact = moment => date({
  dateStyle: "full", timeStyle: "long",
}).format(new Date(moment));
export const precise = moment => date({
  year: "numeric", month: "short", day: "numeric", ...TIME, second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short",
}).format(new Date(moment));

export const midnight = moment => new Date(moment).setHours(0, 0, 0, 0);

const relativeTo = (value, unit, style) => of(Intl.RelativeTimeFormat, { numeric: "auto", style }).format(value, unit);

/** "2 min ago"; `now` and `moment` in milliseconds or as RFC 3339. */
export function ago(moment, now = Date.now(), style = "short") {
  const seconds = (new Date(moment) - now) / 1000, size = Math.abs(seconds);
  if (size < 45) return relativeTo(0, "second", style);
  if (size < 3000) return relativeTo(Math.round(seconds / 60), "minute", style);
  if (size < 79200) return relativeTo(Math.round(seconds / 3600), "hour", style);
  if (size < 86400 * 26) return relativeTo(Math.round(seconds / 86400), "day", style);
  if (size < 86400 * 320) return relativeTo(Math.round(seconds / 86400 / 30.4), "month", style);
  return relativeTo(Math.round(seconds / 86400 / 365), "year", style);
}

/** "Today", "Yesterday", else the date; the year only where it is not this one. */
export function day(moment, now = Date.now()) {
  const days = Math.round((midnight(moment) - midnight(now)) / DAY);
  const year = new Date(moment).getFullYear() === new Date(now).getFullYear() ? {} : { year: "numeric" };
  const full = date({ weekday: "long", day: "numeric", month: "long", ...year }).format(new Date(moment));
  if (days !== 0 && days !== -1) return full;
  const word = relativeTo(days, "day", "long");
  return word[0].toLocaleUpperCase(locale()) + word.slice(1) + " · " + full;
}

/** "3 d 4 h", the two largest parts of a span of milliseconds. */
export function span(length) {
  const units = [["day", DAY], ["hour", HOUR], ["minute", MINUTE], ["second", 1000]];
  const first = units.findIndex(([, size]) => length >= size);
  if (first < 0) return number(0, { style: "unit", unit: "second", unitDisplay: "narrow" });
  return units.slice(first, first + 2).flatMap(([unit, size]) => {
    const whole = Math.floor(length / size);
    length -= whole * size;
    return whole ? [number(whole, { style: "unit", unit, unitDisplay: "narrow" })] : [];
  }).join(" ");
}

/** Bytes in binary units, as the configuration writes them. */
export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) { size /= 1024; at += 1; }
  return number(size, { maximumFractionDigits: size < 10 && at ? 1 : 0 }) + "\u00a0" + units[at];
}
