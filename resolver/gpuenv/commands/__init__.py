"""One module a verb, each returning an outcome, and the steps that several verbs share. Nothing here prints."""
