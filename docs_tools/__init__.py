"""What builds the documentation site: hooks of MkDocs, an extension of griffe, and the drawings."""
