"""One module a verb: ``configure`` its parser, ``run`` the command, show its outcome as ``data`` or ``text``.

The modules load nothing heavy: a command's room is imported inside ``run``.
"""
