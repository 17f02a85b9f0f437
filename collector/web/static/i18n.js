// Languages: a catalogue each, loaded when it is chosen. English stands in for what is missing.
import en from "./en.js";
import { bdi } from "./dom.js";

export const LANGUAGES = { en: "English", de: "Deutsch", ru: "Русский", zh: "中文" };
const STORED = "collector.lang";

let code = "en", words = en, plurals = new Intl.PluralRules("en");

/** The language in use. */
export const lang = () => code;
/** The same with the reader's own region, for dates and numbers. */
export const locale = () => navigator.languages.find(each => each.slice(0, 2) === code) ?? code;

/** Chooses a language: the one given, the one stored, else the browser's first that we speak. */
export async function speak(wanted) {
  const stored = (() => { try { return localStorage.getItem(STORED); } catch { return null; } })();
  const choices = [wanted, stored, ...navigator.languages.map(each => each.slice(0, 2))];
  code = choices.find(each => each in LANGUAGES) ?? "en";
  if (wanted) try { localStorage.setItem(STORED, code); } catch { /* then for this visit */ }
  words = code === "en" ? en : (await import(`./${code}.js`)).default;
  plurals = new Intl.PluralRules(code);
  document.documentElement.lang = code;
}

/** What the catalogue holds under a key, in any shape; undefined where nothing does. */
export const word = key => words[key] ?? en[key];

function template(key, params) {
  const [group, name] = key.split(".");
  const found = words[key] ?? words[group]?.[name] ?? en[key] ?? en[group]?.[name] ?? key;
  if (typeof found === "string") return found;
  return found[plurals.select(params.n ?? 0)] ?? found.other;
}

/** A text, its `{parameters}` filled in; `n` chooses the plural. */
export function t(key, params = {}) {
  return template(key, params).replace(/\{(\w+)\}/g, (_, name) => params[name] ?? "");
}

/** The same as a list of nodes: parameters that are nodes stay nodes. */
export function rich(text, params) {
  return text.split(/(\{\w+\})/).flatMap(part => {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    return name ? [params[name] ?? ""].flat() : part ? [part] : [];
  });
}
export const tr = (key, params = {}) => rich(template(key, params), params);

const known = (group, value) => word(group)?.[value] ?? undefined;
/** A value of a closed set as people say it; a stranger's as it stands. */
export const say = (group, value) => known(group, value) ?? bdi(value);
export const sayText = (group, value) => known(group, value) ?? value;
