"""Where prices come from: a module or folder per exchange, behind one small Protocol (base.Exchange)."""
