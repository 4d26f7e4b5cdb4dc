"""One module a language: how it is written, heard, said and counted in."""
