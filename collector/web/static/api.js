// The HTTP API: one function a verb. What it refuses is thrown as a `Problem`.

const BASE = "/api/v1";

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? body?.title ?? String(status));
    this.status = status;
    this.code = body?.code ?? (status === 0 ? "unreachable" : "failed");
  }
}

async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch((path.startsWith("/openapi") ? "" : BASE) + path, {
      method, signal, credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: error.message });
  }
  if (answer.status === 204) return null;
  const found = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, found);
  return found;
}

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const put = (path, body) => ask("PUT", path, body);
export const post = (path, body) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const del = path => ask("DELETE", path);
export const exportUrl = query => `${BASE}/events/export?${query}`;

/** Who is asking, and so what is offered. `refresh` asks again. */
export const session = {
  role: null, known: false, actor: {}, tenant_id: null,
  get admin() { return this.known && this.role === "admin" && this.tenant_id === null; },
  get reader() { return this.role === "admin" || this.role === "viewer"; },
  get whole() { return this.reader && this.tenant_id === null; },
  async refresh() { Object.assign(this, await get("/session")); return this; },
};

let audits;
/** The audited resources: `[{slug, object_type, labels, path}]`, found by `x-audit` alone. */
export function auditedResources() {
  audits ??= get("/openapi.json").then(document => Object.entries(document.paths).flatMap(([path, item]) => {
    const audit = item.get?.["x-audit"];
    return audit && !path.includes("{")
      ? [{ slug: audit.parent, object_type: audit.object_type, labels: audit.labels ?? {}, path: path.slice(BASE.length) }]
      : [];
  })).catch(error => { audits = undefined; throw error; });
  return audits;
}
