"""The report page: a documented result in, one self-contained HTML file out."""
