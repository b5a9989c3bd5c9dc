"""`nvsx doctor`: is this machine, the cluster and its NVSentinel ready?"""
