"""Everything that is neither a network nor a study: data, training, memory, Ray, tables, analysis."""
