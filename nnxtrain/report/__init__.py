"""A report on runs: one HTML page with curves, results, confusions and mistakes, which needs no network."""
