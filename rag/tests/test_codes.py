"""Identifiers in running text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.codes import codes, normalise, spell_out, tag_candidates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CRAC-2 tripped", ["crac-2"]),
        ("crac 2 tripped", ["crac-2"]),
        ("xid79", ["xid-79"]),
        ("XID 79", ["xid-79"]),
        ("EOP-CRAC-01", ["eop-crac-1"]),
        ("srv-05-gpu-3", ["srv-5-gpu-3"]),
        ("UPS A", ["ups-a"]),
        ("ups-a", ["ups-a"]),
        ("crac-2.supply_c", ["crac-2-supply-c", "crac-2"]),
        ("27 °C after 10 minutes at 200 kW, 10min, 70 %", []),
        ("air-cooled by-pass", []),
    ],
)
def test_it_finds_codes(text, expected):
    assert codes(text) == expected


@given(st.text(max_size=80))
def test_it_normalises_stably(text):
    for code in codes(text):
        assert normalise(code) == code
    assert normalise(normalise(text)) == normalise(text)


def test_it_spells_out_alert_names():
    assert (
        spell_out("CephOSDDiskUnavailable") == "CephOSDDiskUnavailable (Ceph OSD Disk Unavailable)"
    )
    assert spell_out("CRAC and UPS") == "CRAC and UPS"


def test_it_offers_spellings_of_tags():
    assert "srv-05" in tag_candidates("temperature of srv-5")
    assert "pdu-a1" in tag_candidates("is PDU A1 open?")
    assert {"crac-2.supply_c", "crac-2"} <= set(tag_candidates("crac-2.supply_c"))
    assert "crac-1" in tag_candidates("Crac 1")
