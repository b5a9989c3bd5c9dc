"""The project folder: finding it, reading its runbooks and its settings.

Files come in, checked values go out. Nothing here writes to a project.
"""
