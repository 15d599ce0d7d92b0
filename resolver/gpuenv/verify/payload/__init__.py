"""The part of the verification that runs inside the environment under test.

Stand-alone: nothing but the standard library and torch is imported, never gpuenv. ``__main__`` is started by path
(``python -I -S .../payload --settings JSON``) and names this folder ``gpuenv_payload``. It only measures: every
decision is made by the parent, so that a wrong environment cannot acquit itself by a wrong comparison.
"""
