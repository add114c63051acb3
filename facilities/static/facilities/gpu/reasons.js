// NVML's clock-event bits in order of the priority gate: the first one present is in charge.
// The same table is facilities/twin/gpu/nvml.py; a test holds the two together.

export const REASONS = [
  [0x40, "hw_thermal", "critical"],
  [0x80, "hw_power_brake", "critical"],
  [0x8, "hw_slowdown", "critical"],
  [0x20, "sw_thermal", "high"],
  [0x4, "power_cap", "medium"],
  [0x10, "sync_boost", "low"],
  [0x2, "clocks_setting", "low"],
  [0x100, "display_clocks", "neutral"],
  [0x1, "gpu_idle", "neutral"],
];

/** [label, tone] of the limit in charge. */
export function inCharge(bits) {
  const found = REASONS.find(([bit]) => (bits & bit) !== 0);
  return found ? [found[1], found[2]] : ["none", "neutral"];
}
