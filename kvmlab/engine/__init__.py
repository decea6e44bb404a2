"""How the rules of `kvmlab.model` are run; there is no rule in here."""
