"""Django app: what is in the facility and what is happening in it right now."""

from django.apps import AppConfig


class FacilitiesConfig(AppConfig):
    """Sites, assets, points, readings and alarms."""

    name = "facilities"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Facility"
