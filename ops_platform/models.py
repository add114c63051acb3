"""The custom user model, in place before the first migration."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who signs in. What they may do follows from their role, which is a group."""

    class Meta(AbstractUser.Meta):
        ordering = ["username"]

    @property
    def role(self) -> str:
        """The highest role held: admin, supervisor, operator, viewer, or an empty string."""
        from ops_platform.roles import ROLES

        if self.is_superuser:
            return "admin"
        names = {group.name for group in self.groups.all()}
        return next((role for role in reversed(ROLES) if role in names), "")
