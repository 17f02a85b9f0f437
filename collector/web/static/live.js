// One event stream for all tabs of a browser: the tab that holds the lock has it and tells the others.
// Where the browser has no locks (a page over plain HTTP from another machine), each tab has its own.
import { get, session } from "./api.js";

const RETRY_FIRST = 500, RETRY_MOST = 5000;
const listeners = new Set();
const channel = "BroadcastChannel" in self ? new BroadcastChannel("collector") : null;

/** `state`: connecting, live or lost. `last`: the newest seq this tab has heard of. */
export const live = { state: "connecting", last: 0, leading: false };

/** Hears `{kind: "entries", entries}`, `{kind: "state", state, back}` and `{kind: "reset"}`. */
export function onLive(listener) { listeners.add(listener); return () => listeners.delete(listener); }
const tell = message => { for (const listener of [...listeners]) listener(message); };

function setState(state) {
  if (state === live.state) return;
  const back = live.state === "lost" && state === "live";
  live.state = state;
  tell({ kind: "state", state, back });
  if (live.leading) channel?.postMessage({ kind: "state", state });
}

let source, retry = RETRY_FIRST, pending = [], scheduled = false;

function heard(entries) {
  const fresh = entries.filter(entry => entry.seq > live.last);
  if (!fresh.length) return;
  live.last = fresh.at(-1).seq;
  tell({ kind: "entries", entries: fresh });
}

// A burst becomes one message a frame, not one a line.
function receive(entry) {
  pending.push(entry);
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    const entries = pending;
    pending = [];
    channel?.postMessage({ kind: "entries", entries });
    heard(entries);
  }, 50);
}

function connect() {
  source?.close();
  source = new EventSource(`/api/v1/events/stream?after_seq=${live.last}`);
  source.onopen = () => { retry = RETRY_FIRST; setState("live"); };
  source.addEventListener("activity_logged", event => receive(JSON.parse(event.data)));
  source.addEventListener("reset", event => {
    live.last = JSON.parse(event.data).last_seq;
    channel?.postMessage({ kind: "reset", last: live.last });
    tell({ kind: "reset" });
  });
  source.onerror = () => {
    source.close();
    setState("lost");
    setTimeout(connect, retry);
    retry = Math.min(retry * 1.6, RETRY_MOST);
  };
}

function lead() { live.leading = true; connect(); }

function follow() {
  channel.onmessage = ({ data }) => {
    if (data.kind === "hello" && live.leading) channel.postMessage({ kind: "state", state: live.state });
    else if (live.leading) return;
    else if (data.kind === "entries") { data.entries[0].seq > live.last + 1 ? catchUp().then(() => heard(data.entries)) : heard(data.entries); }
    else if (data.kind === "state") { setState(data.state); if (data.state === "live") catchUp(); }
    else if (data.kind === "reset") { live.last = data.last; tell({ kind: "reset" }); }
  };
  channel.postMessage({ kind: "hello" });
}

// What a following tab missed, as one that slept or was restored from the back button has.
let catching;
function catchUp() {
  catching ??= (async () => {
    try {
      for (let more = live.last > 0; more;) {
        const page = await get(`/events?after_seq=${live.last}&limit=200`);
        heard(page.entries);
        more = page.has_more && page.entries.length > 0;
      }
    } catch { /* the next message tries again */ } finally { catching = undefined; }
  })();
  return catching;
}

/** Starts after `last`; once for a page. */
export function startLive(last) {
  live.last = last;
  if (!session.reader) return;
  if (channel) follow();
  if (channel && navigator.locks) navigator.locks.request("collector.feed", () => { lead(); return new Promise(() => {}); });
  else lead();
  addEventListener("pageshow", event => { if (event.persisted) catchUp(); });
  addEventListener("online", () => { if (live.leading && live.state === "lost") { retry = RETRY_FIRST; connect(); } });
}
