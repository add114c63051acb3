"""Six small documents that the tests import and embed once per run."""

CRAC = """---
id: EOP-TEST-CRAC
title: CRAC unit failure
kind: eop
revision: 3
effective: 2026-03-01
owner: Facility engineering
approver: Shift lead
assets: [crac-1, crac-2, crac-3, crac-4]
risk: high
---

## Purpose

Restore cooling in hall 1 when a CRAC unit trips.

## Steps

### Step 1 — Confirm the trip

Check that the tripped unit reports a fault and that its fan speed is 0 %.

**Verify:** the fault point of the unit reads 1.

### Step 2 — Start the standby CRAC

Start the standby unit CRAC-4 with a run command and wait 30 s.

**Verify:** the supply temperature of CRAC-4 falls below 20 °C within 120 s.

**Warning:** Do not start two units at the same time.

## Back-out

Stop CRAC-4 and call the cooling contractor.
"""

UPS = """---
id: SOP-TEST-UPS
title: UPS on battery
kind: sop
effective: 2026-01-15
---

## Purpose

What the shift does while UPS A or UPS B runs on battery.

## Steps

### Step 1 — Read the runtime

A full battery carries the full load for 10 minutes. The generator starts within 15 seconds.

**Verify:** the runtime shown is above 300 s.

### Step 2 — Shed load

Shed the general IT racks first when the runtime is below 5 minutes.
"""

XID = """# GPU XID errors

## XID 79

The GPU has fallen off the bus. Drain the node and power cycle the server.

## XID 48

A double bit ECC error was reported. Reset the GPU after the job has ended.

## XID 13

A graphics engine exception; usually a fault of the application. No action on the hardware.
"""

ALERT = """# CephOSDDiskUnavailable

## Meaning

A disk device on one of the hosts is inaccessible.

## Mitigation

1. Find the failed node.
2. Replace the disk.
"""

FILTER = """# Air filter replacement

The differential pressure across a clean filter is 120 Pa. Replace the filter above 250 Pa.
Isolate the unit first and lock it out. Record the new pressure after 10 minutes of operation.
"""

LEAK = (
    "Leak alarm\n\nWhen the leak detector leak-1 is wet, close the chilled water valve of hall 1.\n"
)

CORPUS: dict[str, tuple[str, str]] = {
    "eop-crac.md": (CRAC, "eop"),
    "sop-ups.md": (UPS, "sop"),
    "gpu-xid.md": (XID, "manual"),
    "ceph-disk.md": (ALERT, "manual"),
    "filter.md": (FILTER, "mop"),
    "leak.txt": (LEAK, "note"),
}
