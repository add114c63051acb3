"""What people look at: the shelf of documents, pages as pictures, differences of revisions."""
