"""Where messages go, one file for each kind of target; `target_registry` has the list.

Why the targets speak HTTP themselves, over the aiohttp that nvsx has anyway (looked at in 2026-11;
processor time of the import, aiohttp itself 250 ms):

    slack-sdk 3.48             +100 ms. Of it we would use four methods, each one JSON POST. Its
                               client takes HTTPS_PROXY and ignores NO_PROXY, follows redirects, and
                               tells errors in three shapes.
    pagerduty 7.2              135 ms, blocks, and sleeps between tries of its own.
    jira 3.10                  220 ms, blocks, sleeps through a 429, and has no documents of v3.
    atlassian-python-api 5.0   600 ms, blocks.
    standardwebhooks 1.1       Signs with four lines of hmac. The tests verify with it.
    apprise 2.3                170 ms, for 130 services: used, in the extra `notify`.

A blocking client cannot be cut after 30 seconds: its thread goes on, and may still send. And what
matters here is the same for all: what a failed request means for the next try (`vendor_http`).
"""
