"""Making packages: charts from their sources, assembly and publishing. A build never imports this."""
