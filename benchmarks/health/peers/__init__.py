"""The others, each as its own documentation sets it up, served with our
gateway's very settings.

Their checks do what ours do: write a file, ask a database. All of them run in
the request, which is the difference.
"""
