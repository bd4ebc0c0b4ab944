"""Problems as CI systems take them: GitHub's commands, SARIF, GitLab's code quality report, JUnit.

Functions without I/O, from a list of `Finding` to a text.
"""
