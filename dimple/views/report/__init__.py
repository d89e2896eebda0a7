"""Reports: HTML pages with tables, charts and pictures of a run."""
