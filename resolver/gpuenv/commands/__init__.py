"""One module a verb, each returning an outcome. Nothing here prints."""
