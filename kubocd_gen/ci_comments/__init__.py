"""The comment of `kcd-gen diff` on a pull or merge request: one of our own, which each run replaces.

`python -m kubocd_gen.ci_comments FILE` is what the GitHub Action and the GitLab component call.
"""
