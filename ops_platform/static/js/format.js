// Numbers and times as operators read them.

/** A number with fixed digits, or an en dash where there is none. */
export function num(value, digits = 1) {
  return Number.isFinite(value) ? value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";
}

/** Watts as W, kW or MW. */
export function watts(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1e6) return `${num(value / 1e6, 2)} MW`;
  return Math.abs(value) >= 1000 ? `${num(value / 1000, 1)} kW` : `${num(value, 0)} W`;
}

/** How long ago, in the largest sensible unit. */
export function ago(iso) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(iso)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** Wall-clock time of an ISO timestamp in the viewer's zone. */
export function clock(iso) {
  return new Date(iso).toLocaleTimeString("en-GB");
}
