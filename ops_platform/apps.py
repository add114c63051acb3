from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OpsPlatformConfig(AppConfig):
    name = "ops_platform"
    verbose_name = "Platform"

    def ready(self) -> None:
        from ops_platform import checks  # noqa: F401
        from ops_platform.roles import sync_roles

        post_migrate.connect(sync_roles, sender=self)
