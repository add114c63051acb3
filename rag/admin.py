"""Admin console of the knowledge base and the conversations."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from rag.models import Collection, Document, Passage, Revision


@admin.register(Collection)
class CollectionAdmin(ModelAdmin):
    list_display = ("name", "slug", "readers")
    search_fields = ("name", "slug")
    filter_horizontal = ("groups",)

    @admin.display(description="read by")
    def readers(self, collection: Collection) -> str:
        """The groups that read it."""
        return ", ".join(group.name for group in collection.groups.all()) or "everybody"

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        """With the groups, in one query more."""
        return super().get_queryset(request).prefetch_related("groups")


@admin.register(Document)
class DocumentAdmin(ModelAdmin):
    list_display = ("title", "kind", "collection", "source_path", "updated_at")
    list_filter = ("kind", "collection")
    search_fields = ("title", "slug", "source_path")
    readonly_fields = ("sha256", "source_path", "created_at", "updated_at")


@admin.register(Revision)
class RevisionAdmin(ModelAdmin):
    list_display = ("document", "number", "state", "effective_from", "superseded_at")
    list_filter = ("state",)
    search_fields = ("document__title", "document__slug")
    autocomplete_fields = ("document",)
    readonly_fields = ("sha256", "markup", "created_at")
    list_select_related = ("document",)


@admin.register(Passage)
class PassageAdmin(ModelAdmin):
    list_display = ("revision", "ordinal", "step", "page", "words")
    search_fields = ("text", "revision__document__title")
    fields = ("revision", "ordinal", "section_path", "step", "page", "text", "codes", "words")
    readonly_fields = fields
    list_select_related = ("revision__document",)

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        """Leave the vectors in the database."""
        return super().get_queryset(request).defer("tsv")


from rag import admin_chat, admin_evaluation, admin_growth, admin_intake  # noqa: E402, F401 - registers their models
