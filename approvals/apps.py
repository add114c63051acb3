from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals import account_events, chat_tool, console, signals, timeline  # noqa: F401  (connects the receivers)

        account_events.connect()
        console.connect()
        chat_tool.register()
        timeline.register()
