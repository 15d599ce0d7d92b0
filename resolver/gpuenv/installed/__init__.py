"""The one reader of an environment that exists, by whatever tool it was made: nothing in it is ever started.

An environment may be broken in ways that make ``import torch`` crash or hang, and its ``sitecustomize`` may lie, so all
is read from files. Build, doctor, diff, verify and the drift guard look at environments through here only.
"""
