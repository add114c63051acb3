from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals import account_events, chat_tool, console, signals, timeline  # noqa: F401  (connects the receivers)
        from approvals.guards import guards_pin

        post_migrate.connect(guards_pin, sender=self, dispatch_uid="approvals.guards")
        account_events.connect()
        console.connect()
        chat_tool.register()
        timeline.register()
