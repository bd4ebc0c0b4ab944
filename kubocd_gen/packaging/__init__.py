"""Make packages: fetch charts, assemble images, publish them. A build never imports this package."""
