"""Problems as data, and their renderers: text, JSON and the formats of CI systems."""
