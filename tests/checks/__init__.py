"""What `make check` looks at beside the linters: the translations, and what would break a page read from the right."""
