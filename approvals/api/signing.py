"""The signed-in person's own authenticators and recovery codes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals.api.signing_serializers import (
    ConfirmSerializer,
    EnrolledSerializer,
    EnrolSerializer,
    ProofSerializer,
    RecoveryCodesSerializer,
    SecuritySerializer,
)
from approvals.api.views import REFUSALS, GateView
from approvals.signing import reauthenticate, totp
from approvals.signing.qr import qr_svg


class IsPerson(BasePermission):
    """A person's session; an agent's account has nothing to sign with."""

    message = "Authenticators belong to people; an agent's token cannot have one."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.auth is None


class SecurityView(GateView):
    """What the signed-in person can prove who they are with."""

    permission_classes = [IsAuthenticated, IsPerson]

    @extend_schema(operation_id="security_totp_list", responses=SecuritySerializer)
    def get(self, request: Request) -> Response:
        """Own authenticators without their keys, and how many recovery codes are left."""
        return Response(SecuritySerializer(_security(self)).data)

    @extend_schema(
        operation_id="security_totp_enrol",
        request=EnrolSerializer,
        responses={201: EnrolledSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """A new authenticator: needs the password or a code, shows the key once. It counts after
        its first code (`…/confirm`).
        """
        given = self.parsed(EnrolSerializer)
        _prove(self, given, "totp:add")
        made = totp.enrol(user=self.person, name=given["name"])
        body = {**made._asdict(), "qr": qr_svg(made.uri)}
        return Response(EnrolledSerializer(body).data, status=status.HTTP_201_CREATED)


class DeviceConfirmView(GateView):
    permission_classes = [IsAuthenticated, IsPerson]

    @extend_schema(
        operation_id="security_totp_confirm",
        request=ConfirmSerializer,
        responses={200: RecoveryCodesSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take it into use with its first code. With the first authenticator come recovery codes,
        shown once.
        """
        codes = totp.confirm(user=self.person, device_id=pk, **self.parsed(ConfirmSerializer))
        return Response({"recovery_codes": codes})


class DeviceRemoveView(GateView):
    permission_classes = [IsAuthenticated, IsPerson]

    @extend_schema(
        operation_id="security_totp_remove",
        request=ProofSerializer,
        responses={200: SecuritySerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Remove an own authenticator; needs the password or a code."""
        _prove(self, self.parsed(ProofSerializer), "totp:remove")
        totp.remove(user=self.person, device_id=pk)
        return Response(SecuritySerializer(_security(self)).data)


class RecoveryCodesView(GateView):
    permission_classes = [IsAuthenticated, IsPerson]

    @extend_schema(
        operation_id="security_totp_recovery_codes",
        request=ProofSerializer,
        responses={200: RecoveryCodesSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """New recovery codes, shown once; the old ones end. Needs the password or a code."""
        _prove(self, self.parsed(ProofSerializer), "totp:recovery")
        return Response({"recovery_codes": totp.recovery_renew(user=self.person)})


def _prove(view: GateView, given: dict[str, Any], what: str) -> None:
    reauthenticate(
        user=view.person,
        password=given["password"],
        otp=given["otp"],
        request=view.request,
        what=what,
    )


def _security(view: GateView) -> dict[str, Any]:
    return {
        "devices": totp.devices_of(user=view.person),
        "recovery_codes_left": totp.recovery_left(user=view.person),
    }
