"""An OTPIQ that runs on this machine and misbehaves on demand.

`server` starts it, `plots` and `misbehaviours` are pure and may be used alone: nothing is imported here, so that using
them pulls in neither Flask nor httpx. Written from the provider's contract alone; it knows nothing of the rest of Wasl.
"""
