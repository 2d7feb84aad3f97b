"""The admin port: what the appliance tells over HTTP.

- ``facts``      one look at the shared page: processes and the gauges that matter here
- ``readiness``  pure: facts in, the reasons not to send us mail out
- ``app``        the aiohttp application: /metrics, /livez, /readyz, /api/status, /api/queue and the index page
- ``server``     its connections: how many, and for how long
- ``index``      the page at /
"""
