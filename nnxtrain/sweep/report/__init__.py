"""``nnxtrain sweep report``: one HTML page on a sweep, from its files alone."""
