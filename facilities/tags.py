"""Spelling of tags: ``<asset-tag>.<quantity>`` names a point."""

import re

from django.core.validators import RegexValidator

ASSET_TAG_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}"
QUANTITY_PATTERN = r"[a-z][a-z0-9_]{0,59}"

ASSET_TAG = re.compile(rf"{ASSET_TAG_PATTERN}\Z")
QUANTITY = re.compile(rf"{QUANTITY_PATTERN}\Z")
POINT_TAG = re.compile(rf"{ASSET_TAG_PATTERN}\.{QUANTITY_PATTERN}\Z")

validate_asset_tag = RegexValidator(
    ASSET_TAG, "A tag is letters, digits, - and _ (at most 80), for example crac-1."
)
validate_quantity = RegexValidator(
    QUANTITY, "A quantity is lower-case letters, digits and _ (at most 60), for example supply_c."
)
validate_point_tag = RegexValidator(
    POINT_TAG, "A point tag is <asset-tag>.<quantity>, for example crac-1.supply_c."
)
