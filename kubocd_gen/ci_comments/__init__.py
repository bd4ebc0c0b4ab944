"""What the GitHub Action and the GitLab component run besides `kcd-gen`: the console script `kcd-gen-ci`.

It finds the commit that a pull or merge request is compared with, and keeps the one comment that shows the difference.
"""
