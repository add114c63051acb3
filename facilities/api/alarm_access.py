"""Who may manage alarms, and serializers that let the model judge."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class MayManageAlarms(BasePermission):
    """Everybody reads; supervisors and above change."""

    message = "Your role does not manage alarms; ask a supervisor."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.manage_alarms`` for what changes something."""
        return request.method in SAFE_METHODS or request.user.has_perm("facilities.manage_alarms")


class SupervisorsOnly(MayManageAlarms):
    """Reading too: addresses of people are nobody else's business."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.manage_alarms``."""
        return request.user.has_perm("facilities.manage_alarms")


class Cleaned(serializers.ModelSerializer[Any]):
    """Runs the model's ``clean`` too."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Build the row as it would be and let the model judge it."""
        model: Any = self.Meta.model
        row = model()
        if self.instance is not None:
            for field in model._meta.concrete_fields:
                setattr(row, field.attname, getattr(self.instance, field.attname))
        for key, value in attrs.items():
            if key != "steps":
                setattr(row, key, value)
        try:
            row.clean()
        except DjangoValidationError as error:
            raise serializers.ValidationError(
                error.message_dict if hasattr(error, "error_dict") else error.messages
            ) from None
        return attrs
