"""Updates of parameters that are spread over processes: `shards` knows how, `sharded` updates them."""
