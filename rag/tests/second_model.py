"""A second real embedding model: the bundled one, turned by a fixed rotation and cut to 128
dimensions, saved as sentence-transformers saves models."""

from pathlib import Path

DIMENSIONS = 128


def save_second_model(folder: Path) -> Path:
    """Write the model to a folder (90 MB) and return it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Normalize

    from rag.intake.embedding import bundled_folder

    bundled = SentenceTransformer(str(bundled_folder()), device="cpu", local_files_only=True)
    dense = Dense(384, DIMENSIONS, bias=False, activation_function=torch.nn.Identity())
    generator = torch.Generator().manual_seed(7)
    turned, _ = torch.linalg.qr(torch.randn(384, 384, generator=generator))
    with torch.no_grad():
        dense.linear.weight.copy_(turned[:DIMENSIONS])
    model = SentenceTransformer(modules=[bundled[0], bundled[1], dense, Normalize()], device="cpu")
    model.save(str(folder))
    return folder
