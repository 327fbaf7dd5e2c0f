"""Tests of the documentation: its programs run, and its statements agree with the code.

Start with `test_docs`; `pages` reads the Markdown files.
"""
