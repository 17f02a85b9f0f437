// The shell: tabs, the one view that is open, the drawer over it, banner, keyboard, session.
import { bdi, h, icon, replace, toast } from "./dom.js";
import { get, session } from "./api.js";
import { sayText, speak, t, word } from "./i18n.js";
import { go, onRoute, route } from "./router.js";
import { live, onLive, startLive } from "./live.js";
import { loginDialog, loginForm, logout } from "./login.js";
import { called } from "./sentence.js";
import { closeFacet } from "./chips.js";
import { Drawer } from "./drawer.js";
import { activity } from "./activity.js";
import { dashboard } from "./dashboard.js";

const TABS = { dashboard: ["/", "pulse"], activity: ["/activity", "search"], devices: ["/devices", "device"], changes: ["/changes", "entity"], settings: ["/settings", "system"] };
// What is looked at first comes with the page; the rest when it is asked for.
const VIEWS = {
  dashboard: async () => dashboard, activity: async () => activity,
  devices: async () => (await import("./devices.js")).devices, changes: async () => (await import("./changes.js")).changes, settings: async () => (await import("./settings.js")).settings,
};
const LEAPS = { d: "/", a: "/activity", v: "/devices", c: "/changes", s: "/settings" };

const tabOf = path => path === "/" ? "dashboard" : Object.keys(TABS).find(name => name !== "dashboard" && (path === TABS[name][0] || path.startsWith(TABS[name][0] + "/"))) ?? null;
const placeOf = path => path.startsWith("/devices/") ? path : tabOf(path);

let view = null, place, drawer, main, banner, turn = 0;

async function show(now) {
  const mine = ++turn, wanted = placeOf(now.path);
  for (const link of document.querySelectorAll(".tabs a")) link.getAttribute("data-tab") === tabOf(now.path) ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (wanted === null) { view?.leave(); view = null; place = null; replace(main, h("div", { class: "empty" }, h("h1", {}, t("notFound")), h("a", { class: "button", href: "/" }, t("goHome")))); return; }
  if (wanted !== place) {
    const make = await VIEWS[tabOf(now.path)]();
    if (mine !== turn) return;
    view?.leave();
    place = wanted;
    view = make(now, { restart });
    replace(main, view.node);
    scrollTo({ top: 0 });
    document.title = `${view.title} · collector`;
  } else view.update(now);
  const entry = now.query.get("entry");
  if (entry && /^([1-9]\d{0,15}|[0-9a-fA-F-]{36})$/.test(entry)) drawer.show(entry); else drawer.hide();
}

/** Draws everything anew: another language, or another role. */
function restart() {
  view?.leave();
  view = null;
  place = undefined;
  drawer?.node.remove();
  build();
}

function build() {
  banner = h("div", { class: "banner", role: "status", hidden: true });
  main = h("main", { id: "main", tabindex: -1 });
  document.body.replaceChildren(h("a", { class: "skip", href: "#main" }, t("skip")),
    h("header", { class: "top" }, h("a", { class: "brand", href: "/" }, h("img", { src: "/static/icon.svg", alt: "", width: 20, height: 20 }), h("span", {}, "collector")),
      h("nav", { class: "tabs", "aria-label": t("nav") }, Object.entries(TABS).map(([name, [href, symbol]]) => h("a", { href, "data-tab": name }, icon(symbol), h("span", {}, t("tab." + name))))),
      h("div", { class: "corner" }, h("span", { class: "pulse", id: "pulse" }), h("button", { type: "button", class: "bare help", "aria-label": t("shortcuts"), title: `${t("shortcuts")} (?)`, on: { click: help } }, icon("keyboard")), person())),
    banner, main, h("div", { id: "toasts", role: "status", "aria-live": "polite" }));
  drawer = new Drawer();
  if (!session.reader) {
    replace(main, h("div", { class: "door" }, h("p", { class: "hint" }, t(session.role === "producer" ? "producerOnly" : "mustLogin")), loginForm(() => location.reload())));
    return;
  }
  drawState();
  show(route());
}

function person() {
  if (!session.known) return h("button", { type: "button", class: "quiet", on: { click: () => loginDialog(() => location.reload()) } }, icon("person"), h("span", {}, t("login")));
  const name = called(session.actor) ?? "";
  return h("button", { type: "button", class: "quiet", title: t("loggedIn", { name }), on: { click: async () => { await logout().catch(() => {}); location.reload(); } } }, icon("person"), h("span", {}, bdi(name), " · ", t("logout")));
}

function drawState() {
  const pulse = document.getElementById("pulse");
  if (!pulse) return;
  pulse.className = `pulse pulse-${live.state}`;
  replace(pulse, h("span", { class: "dot" }), live.state === "live" ? t("live") : live.state === "lost" ? t("lostRetry") : t("loading"));
  banner.hidden = live.state !== "lost";
  if (live.state === "lost") replace(banner, icon("alert"), h("span", {}, t("lost")));
}

function help() {
  const keys = word("keysOf");
  const dialog = h("dialog", { class: "small help-dialog", "aria-label": t("shortcuts") }, h("h2", {}, t("shortcuts")), h("dl", { class: "keys-list" }, Object.entries(keys).map(([key, text]) => h("div", {}, h("dt", {}, key.split(" ").map(each => h("kbd", {}, each))), h("dd", {}, text)))),
    h("div", { class: "buttons" }, h("button", { type: "button", on: { click: () => dialog.close() } }, t("close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

let leap = 0;
addEventListener("keydown", event => {
  if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]") || !session.reader) return;
  const typing = event.target.matches?.("input,select,textarea");
  if (event.key === "Escape") {
    if (closeFacet()) return;
    if (drawer.open && !typing) drawer.close(); else view?.keys.Escape?.();
    return;
  }
  if (typing) return;
  const leaping = Date.now() - leap < 1000;
  leap = 0;
  if (leaping && LEAPS[event.key]) go(LEAPS[event.key]);
  else if (event.key === "g") { leap = Date.now(); return; }
  else if (event.key === "?") help();
  else if (event.key === "/" && !view?.keys["/"]) { go("/activity"); setTimeout(() => document.getElementById("search")?.focus(), 50); }
  else if (view?.keys[event.key]) view.keys[event.key]();
  else return;
  event.preventDefault();
});

// While the stream is away, and once when it is back: whether this is still who it was.
async function watch() {
  const { known, role } = session;
  await session.refresh().catch(() => {});
  if (session.known !== known || session.role !== role) restart();
  if (live.state === "lost" && session.reader) setTimeout(watch, 3000);
}

async function begin() {
  await speak();
  for (;;) {
    try { await session.refresh(); break; } catch (problem) {
      if (problem.status) { document.body.replaceChildren(h("p", { class: "door" }, problem.message)); return; }
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }
  onRoute(show);
  onLive(message => {
    if (message.kind !== "entries") drawState();
    if (message.state === "lost") watch();
    // A daemon that was restarted has forgotten who was logged in.
    if (message.back) { toast(t("restored")); watch(); }
    if (message.kind === "reset") toast(t("reset"));
  });
  if (session.reader) {
    const newest = await get("/events?limit=1").catch(() => ({ entries: [] }));
    build();
    startLive(newest.entries[0]?.seq ?? 0);
  } else build();
}

begin();
