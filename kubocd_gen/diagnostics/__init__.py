"""Problems as data, and how they are printed: as text, JSON and the formats of CI systems."""
