"""Updates of parameters that are spread over processes: `_shards` knows how, `_sharded` updates them."""
