"""HTTP: the API, the live feed, metrics. Imported only where `web.enabled`; needs the extra `web`."""
