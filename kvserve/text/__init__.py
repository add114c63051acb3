"""Between text and tokens: tokenizer, chat templates, grammars, tool calls."""
