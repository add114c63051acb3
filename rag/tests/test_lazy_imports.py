"""The web process must not pay for torch (5 s, 0.5 GB)."""

import subprocess
import sys


def test_it_loads_no_heavy_library_with_the_web_parts():
    code = """
import django, sys
django.setup()
import rag.admin, rag.urls, rag.api_urls, rag.routing, rag.tasks, rag.intake.indexing, rag.retrieval
import rag.answers.answering, rag.management.commands.import_documents
heavy = {"torch", "sentence_transformers", "transformers", "llama_cpp", "openai", "pypdfium2", "pdfplumber"}
found = heavy & set(sys.modules)
print("heavy:", sorted(found))
sys.exit(bool(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
