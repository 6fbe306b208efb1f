"""Rules of the pages, without input or output: links, forms, header fields, charts, and refusals in words."""
