import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0014_effects")]

    operations = [
        migrations.AddIndex(
            model_name="proposal",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.search.SearchVector(
                    "title", "rationale", "target", "kind", config="english"
                ),
                name="approvals_proposal_words",
            ),
        ),
    ]
