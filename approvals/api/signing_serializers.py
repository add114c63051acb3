"""JSON shapes of authenticators. A key or recovery code is in the one answer that makes it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ProofSerializer(serializers.Serializer[Any]):
    """Who is at the keyboard: the password, or a code of an authenticator."""

    password = serializers.CharField(
        max_length=500, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    otp = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")


class EnrolSerializer(ProofSerializer):
    name = serializers.CharField(
        max_length=64, required=False, allow_blank=True, default="", help_text="e.g. `Phone`."
    )


class ConfirmSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(max_length=12, help_text="What the app shows now.")


class AuthenticatorSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class SecuritySerializer(serializers.Serializer[Any]):
    devices = AuthenticatorSerializer(many=True)
    recovery_codes_left = serializers.IntegerField()


class EnrolledSerializer(serializers.Serializer[Any]):
    device = serializers.IntegerField()
    uri = serializers.CharField(help_text="`otpauth://…`, for the app. Shown once.")
    secret = serializers.CharField(help_text="The same key in base32, to be typed.")
    qr = serializers.CharField(help_text="The address as an SVG drawing.")


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(child=serializers.CharField())
