from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals import chat_tool, signals  # noqa: F401  (connects the receivers)

        chat_tool.register()
