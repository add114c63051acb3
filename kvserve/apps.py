"""Django sees kvserve only for its management command; the engine itself imports no Django."""

from django.apps import AppConfig


class KvserveConfig(AppConfig):
    name = "kvserve"
    verbose_name = "LLM serving"
