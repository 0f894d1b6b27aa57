"""What a server does again and again: reap, poll, renew credentials, prune.

The law: a duty reads what is, does what is due, and ends. It keeps nothing that a restart would lose, and running it
twice, or on two servers at once, does no harm.
"""
