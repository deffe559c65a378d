"""A simulated liquidity provider that tells what it filled over FIX 4.4. Knows nothing of the product's own session."""
