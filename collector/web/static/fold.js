// What the feed shows of a list of entries: a heading for each day, and one line that opens for each
// run of a flapping device and for the devices that were found at the very start.

const GAP = 10 * 60e3, LEAST = 3;
const FLAPS = new Set(["device.health_changed", "device.flapping"]);

const keyOf = entry => entry.object_type === "device" && entry.object_id && FLAPS.has(entry.action) ? `flap:${entry.object_id}`
  : entry.action === "device.discovered" && entry.metadata.initial === true ? "found" : null;

/** Items, newest first: `{kind: "day"|"entry"|"fold", key, …}`. `open`: keys of folds that are open. */
export function items(entries, open) {
  const found = [], runs = new Map();
  let day = null, at = 0;
  for (const entry of entries) {
    const moment = Date.parse(entry.occurred_at), date = new Date(moment).setHours(0, 0, 0, 0);
    if (date !== day) {
      day = date;
      runs.clear();
      found.push({ kind: "day", key: `day:${date}:${at}`, day: date });
      at += 1;
    }
    const key = keyOf(entry), run = key && runs.get(key);
    if (run && Math.abs(run.oldest - moment) <= GAP) {
      run.entries.push(entry);
      run.oldest = moment;
      if (run.entries.length >= LEAST) run.kind = "fold";
      continue;
    }
    const item = { kind: "entry", key: `entry:${entry.seq}`, entry, entries: [entry], oldest: moment, fold: key };
    if (key) runs.set(key, item);
    found.push(item);
  }
  return found.flatMap(item => unfolded(item, open));
}

function unfolded(item, open) {
  if (item.kind === "day") return [item];
  const each = item.entries.map(entry => ({ kind: "entry", key: `entry:${entry.seq}`, entry }));
  if (item.kind === "entry") return each;
  // The run's key is its oldest entry: it stays the same while the run grows at its newer end.
  const fold = { kind: "fold", key: `fold:${item.entries.at(-1).seq}`, entries: item.entries, what: item.fold };
  fold.open = open.has(fold.key);
  return fold.open ? [fold, ...each.map(part => ({ ...part, key: part.key + ":in", inside: true }))] : [fold];
}
