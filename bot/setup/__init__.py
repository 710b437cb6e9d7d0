"""Before the agent, without a model: a repository's dependencies are installed in its sandbox."""
