"""A page image becomes Markdown, by an engine behind one small port."""
