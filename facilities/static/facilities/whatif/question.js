// The question on the page: a list of changes and how to look ahead. Lives in the URL.

/** What an empty page asks. */
export const blank = () => ({ changes: [], duration_s: 1800, draws: null, record: [] });

/** Read ?q= (JSON), or the short form ?asset=crac-2&what=crac_trip&value=&at_s=. Never throws. */
export function fromUrl() {
  const params = new URLSearchParams(location.search);
  const question = blank();
  try {
    const given = JSON.parse(params.get("q") ?? "{}");
    if (Array.isArray(given.changes)) question.changes = given.changes.filter((change) => change && typeof change.asset === "string");
    for (const name of ["duration_s", "draws", "seed"]) if (Number.isFinite(given[name])) question[name] = given[name];
    if (Array.isArray(given.record)) question.record = given.record.filter((name) => typeof name === "string");
    if (typeof given.title === "string" && given.title) question.title = given.title;
  } catch {
    // A link cut off in the middle: the page starts empty.
  }
  const shown = params.get("record");
  if (shown) question.record.push(...shown.split(","));
  const [asset, what] = [params.get("asset"), params.get("what")];
  if (asset && what) {
    const value = params.get("value");
    question.changes.push({ asset, what, at_s: Number(params.get("at_s")) || 0, ...(value ? { value: Number(value) } : {}) });
  }
  return question;
}

/** The question as the API takes it. */
export function toBody(question, draws) {
  const body = { changes: question.changes, duration_s: question.duration_s, draws };
  if (question.record.length) body.record = question.record;
  if (question.title) body.title = question.title;
  if (Number.isFinite(question.seed)) body.seed = question.seed;
  return body;
}

/** Put the question into the address, so that the page can be shared and reloaded. */
export function toUrl(question, run = null) {
  const params = new URLSearchParams();
  if (run) params.set("run", run);
  else if (question.changes.length || question.record.length) params.set("q", JSON.stringify(question));
  const text = params.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}
