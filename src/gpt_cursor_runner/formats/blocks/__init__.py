"""Parser of search/replace blocks in the dialects of aider, Cline and Roo."""
