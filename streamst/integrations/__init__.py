"""StreamST inside other people's frameworks: a module each, which needs that framework (`docs/integrations.md`)."""
