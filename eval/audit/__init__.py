"""The audit: the ledger of equations as data, its page, its tests' outcomes, and its mutants."""
