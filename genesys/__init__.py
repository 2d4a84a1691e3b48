"""Client of Genesys Cloud: token, pacing, submissions, and what its answers mean."""
